/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of a configuration file with its @includes in place, ready for libconfig, and where each
 * line came from. */
#pragma once

#include "language/location.h"

#include <stdbool.h>

struct reader;

struct source_value {
	struct location location;
	bool damaged; /* an error was reported; what libconfig reads here means nothing */
};

/* Where in the text a member of an outermost group begins, and where the group ends. */
struct source_cut {
	size_t at;
	size_t line;	   /* from 1 */
	const char *group; /* its name; not NUL-terminated */
	size_t group_len;
	bool end;
};

struct source {
	char *text; /* NUL-terminated */
	size_t len, size;
	struct location *lines; /* [line - 1] */
	size_t n_lines;
	struct source_value
		*values; /* strings, numbers, true and false, in the order of the text */
	size_t n_values;
	struct source_cut *cuts; /* in the order of the text */
	size_t n_cuts;
	bool broken; /* libconfig could not read it, or would read it wrong: do not parse it */
};

/* Reads a file, with includes relative to dir. Everything is allocated from reader->arena. 0, also
 * with errors reported and counted (`broken`: nothing can be parsed); -ENOMEM; or the error of
 * opening this file, reported. */
int source_read(struct source *source, struct reader *reader, const char *path, const char *dir);

/* The same for a text in memory, without includes. Its lines have the given locations, n_locations
 * of them. 0 or -ENOMEM. */
int source_read_text(struct source *source, struct reader *reader, const char *text, size_t len,
		     const struct location *locations, size_t n_locations);

enum {
	SOURCE_MAX = 64 << 20,	  /* bytes, with all includes */
	SOURCE_INCLUDES_MAX = 10, /* deep */
};
