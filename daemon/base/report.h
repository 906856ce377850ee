/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is wrong with an operator's input: all errors, a line each, in the order found or by
 * location. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct report {
	char *text; /* NUL-terminated lines, or NULL when there is none */
	size_t len;
	size_t size;
	unsigned count;		   /* lines */
	struct report_line *lines; /* those in text */
	size_t n_lines;
};

/* Adds one line (the newline is added). Past REPORT_MAX bytes only the count grows. Never fails:
 * without memory the line is lost, but counted. */
void report_add(struct report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void report_vadd(struct report *report, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Removes what was added since it had that many bytes and lines. */
void report_cut(struct report *report, size_t len, unsigned count);

/* The same for a line with a location: report_sort() sorts the lines by it, and keeps the order of
 * those with the same location. */
void report_vadd_at(struct report *report, uint64_t place, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));
void report_add_at(struct report *report, uint64_t place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void report_sort(struct report *report);

/* Frees the text and empties the report. */
void report_done(struct report *report);

enum { REPORT_MAX = 256 * 1024 };
