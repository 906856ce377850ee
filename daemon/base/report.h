/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What went wrong with an operator's input: every error, a line each, for whoever asked; in the
 * order found, or by where it is. */
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

/* Takes back what was added since it had so many bytes and lines. */
void report_cut(struct report *report, size_t len, unsigned count);

/* The same for a line that has a place: by it report_sort() orders what was added, lines of one
 * place as they came. */
void report_vadd_at(struct report *report, uint64_t place, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));
void report_add_at(struct report *report, uint64_t place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void report_sort(struct report *report);

/* Frees the text and empties the report. */
void report_done(struct report *report);

enum { REPORT_MAX = 256 * 1024 };
