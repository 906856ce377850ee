/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/build.h"

#include "base/arena.h"
#include "base/report.h"
#include "config/print.h"
#include "config/schema.h"

#include <errno.h>

int build_start(struct check *check, struct families *families, struct report *report)
{
	int r;

	*check = (struct check){.families = families,
				.reader = {.keys = &schema_reader_keys, .report = report}};
	r = arena_new(&check->arena);
	if (r < 0)
		return r;
	check->config = arena_take(check->arena, 1, sizeof(*check->config));
	if (!check->config)
		return -ENOMEM;
	check->config->arena = check->arena;
	check->reader.files = &check->config->files;
	check->reader.file_arena = check->arena;
	r = arena_new(&check->scratch);
	check->reader.arena = check->scratch;
	return r;
}

int build_finish(struct check *check, int r, struct config **ret)
{
	if (r == 0 && check->reader.errors)
		r = -EINVAL;
	if (r == 0)
		r = print_digest(check->config);
	if (r == -ENOMEM)
		report_add(check->reader.report, "no memory for the configuration");
	report_sort(check->reader.report);
	arena_free(check->scratch);
	if (r < 0)
		arena_free(check->arena);
	else
		*ret = check->config;
	return r;
}
