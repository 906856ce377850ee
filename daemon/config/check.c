/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/check.h"

#include "base/arena.h"
#include "base/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

uint64_t check_order(struct config_place place)
{
	return (uint64_t)place.file << 32 | place.line;
}

static void add_to_report(struct check *check, struct config_place place, const char *kind, const char *text)
{
	char where[320];

	report_add_at(check->report, check_order(place), "%s: %s%s%s%s", config_place_text(check->config, place, where, sizeof(where)), kind,
		      check->where ? check->where : "", check->where ? ": " : "", text);
}

void check_error(struct check *check, struct config_place place, const char *format, ...)
{
	char text[2048];
	va_list args;

	check->errors++;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add_to_report(check, place, "", text);
}

void check_warning(struct check *check, struct config_place place, const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add_to_report(check, place, "warning: ", text);
}

int check_add_file(struct check *check, const char *name, uint32_t *ret)
{
	struct config *config = check->config;

	config->files =
		arena_grow(check->arena, config->files, config->n_files, sizeof(*config->files));
	if (!config->files)
		return -ENOMEM;
	config->files[config->n_files] = arena_copy_text(check->arena, name);
	if (!config->files[config->n_files])
		return -ENOMEM;
	*ret = config->n_files++;
	return 0;
}
