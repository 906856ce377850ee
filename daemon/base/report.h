/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What went wrong with an operator's input: every error, in the order found, a line each, for whoever asked. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

struct report {
	char *text; /* NUL-terminated lines, or NULL when there is none */
	size_t len;
	size_t size;
	unsigned count; /* lines */
};

/* Adds one line (the newline is added). Past REPORT_MAX bytes only the count grows. Never fails: without memory the
 * line is lost, but counted. */
void report_add(struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
void report_vadd(struct report *report, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

/* Takes back what was added since it had so many bytes and lines. */
void report_cut(struct report *report, size_t len, unsigned count);

/* Frees the text and empties the report. */
void report_done(struct report *report);

enum { REPORT_MAX = 256 * 1024 };
