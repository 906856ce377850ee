/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/build.h"

#include "base/arena.h"
#include "base/report.h"
#include "config/print.h"

#include <errno.h>

int build_start(struct check *check, struct families *families, struct report *report)
{
	int r;

	*check = (struct check){.families = families, .report = report};
	r = arena_new(&check->arena);
	if (r < 0)
		return r;
	check->config = arena_take(check->arena, 1, sizeof(*check->config));
	if (!check->config)
		return -ENOMEM;
	check->config->arena = check->arena;
	return arena_new(&check->scratch);
}

int build_finish(struct check *check, int r, struct config **ret)
{
	if (r == 0 && check->errors)
		r = -EINVAL;
	if (r == 0)
		r = print_digest(check->config);
	if (r == -ENOMEM)
		report_add(check->report, "no memory for the configuration");
	report_sort(check->report);
	arena_free(check->scratch);
	if (r < 0)
		arena_free(check->arena);
	else
		*ret = check->config;
	return r;
}
