/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where something was written: a file and a line. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct arena;

struct location {
	uint32_t file; /* index into location_files.names */
	uint32_t line; /* from 1; 0: nowhere, a default */
};

struct location_files {
	char **names; /* as the operator would type them */
	unsigned n;
};

/* Adds a name, copied into the arena; its index goes to *ret. 0 or -ENOMEM. */
int location_add_file(struct location_files *files, struct arena *arena, const char *name,
		      uint32_t *ret);

/* "FILE:LINE", or "FILE" where there is no line, into text. Returns text. */
const char *location_text(const struct location_files *files, struct location location, char *text,
			  size_t size);

/* The order of locations, for report_add_at(): by file, then by line. */
uint64_t location_order(struct location location);
