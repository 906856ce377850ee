/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A report is what an operator gets to read at once: every error, a line each. It grows by doubling
 * up to REPORT_MAX, for a configuration can be wrong on every one of its lines; past that, and
 * without memory, lines are counted and not kept.
 */
#include "base/report.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void report_add(struct report *report, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_vadd(report, format, args);
	va_end(args);
}

/* Makes room for so many more bytes and a NUL. */
static bool report_grow(struct report *report, size_t more)
{
	size_t size = report->size ? report->size : 256;
	char *text;

	if (more >= REPORT_MAX || report->len + more >= REPORT_MAX)
		return false;
	while (size <= report->len + more)
		size *= 2;
	if (size == report->size)
		return true;
	text = realloc(report->text, size);
	if (!text)
		return false;
	report->text = text;
	report->size = size;
	return true;
}

void report_vadd(struct report *report, const char *format, va_list args)
{
	va_list again;
	int len;

	report->count++;
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (len < 0 || !report_grow(report, (size_t)len + 1))
		return;
	vsnprintf(report->text + report->len, (size_t)len + 1, format, args);
	report->len += (size_t)len;
	report->text[report->len++] = '\n';
	report->text[report->len] = '\0';
}

void report_cut(struct report *report, size_t len, unsigned count)
{
	if (len < report->len) {
		report->len = len;
		report->text[len] = '\0';
	}
	report->count = count;
}

void report_done(struct report *report)
{
	free(report->text);
	*report = (struct report){0};
}
