/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the caller of a reader provides: memory, the keys for error messages, and the report. */
#pragma once

#include "language/location.h"

#include <stdarg.h>
#include <stdbool.h>

struct arena;
struct report;

/* What syntax errors need to know of keys; the language itself knows none. */
struct reader_keys {
	/* Whether there are keys that belong in a group of this name, as "connect" in "timeout"?
	 * The name is not NUL-terminated. */
	bool (*is_group)(const char *name, size_t len);
	/* The plural word for the values of a key. */
	const char *(*name_values)(const char *key, size_t len);
	const char *example; /* a whole file on one line */
};

struct reader {
	const struct reader_keys *keys;
	struct arena *arena;	  /* for everything that is read */
	struct arena *file_arena; /* of the files' names */
	struct location_files *files;
	struct report *report;
	const char *where; /* which part of the files is read, as errors name it; NULL: none in
			      particular */
	unsigned errors;
};

/* Reports "FILE:LINE: WHERE: ..." and counts it. */
void reader_error(struct reader *reader, struct location location, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void reader_verror(struct reader *reader, struct location location, const char *format,
		   va_list args) __attribute__((format(printf, 3, 0)));

/* Reports it as a warning: nothing is refused for it. */
void reader_vwarning(struct reader *reader, struct location location, const char *format,
		     va_list args) __attribute__((format(printf, 3, 0)));

/* Adds a file; its index goes to *ret. 0 or -ENOMEM. */
int reader_add_file(struct reader *reader, const char *name, uint32_t *ret);
