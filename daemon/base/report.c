/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A report holds all errors for an operator, a line each. It grows by doubling up to REPORT_MAX,
 * because a configuration can be wrong on every line; past that, or without memory, lines are only
 * counted.
 */
#include "base/report.h"

#include "base/assert.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct report_line {
	uint64_t place;
	size_t at, len; /* in the text, with its newline */
};

void report_add(struct report *report, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_vadd(report, format, args);
	va_end(args);
}

void report_add_at(struct report *report, uint64_t place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_vadd_at(report, place, format, args);
	va_end(args);
}

void report_vadd(struct report *report, const char *format, va_list args)
{
	report_vadd_at(report, 0, format, args);
}

/* Room for one more line. */
static bool lines_grow(struct report *report)
{
	struct report_line *lines = report->lines;

	if ((report->n_lines & (report->n_lines - 1)) == 0)
		lines = realloc(lines,
				(report->n_lines ? 2 * report->n_lines : 1) * sizeof(*lines));
	if (!lines)
		return false;
	report->lines = lines;
	return true;
}

/* Makes room for `more` bytes and a NUL. */
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

void report_vadd_at(struct report *report, uint64_t place, const char *format, va_list args)
{
	size_t at = report->len;
	va_list again;
	int len;

	report->count++;
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (len < 0 || !report_grow(report, (size_t)len + 1) || !lines_grow(report))
		return;
	vsnprintf(report->text + report->len, (size_t)len + 1, format, args);
	report->len += (size_t)len;
	report->text[report->len++] = '\n';
	assert(report->len < report->size);
	report->text[report->len] = '\0';
	report->lines[report->n_lines++] =
		(struct report_line){.place = place, .at = at, .len = report->len - at};
}

static int compare_lines(const void *a, const void *b)
{
	const struct report_line *one = a, *other = b;

	if (one->place != other->place)
		return one->place < other->place ? -1 : 1;
	return one->at < other->at ? -1 : 1;
}

void report_sort(struct report *report)
{
	char *text = report->text ? malloc(report->size) : NULL;
	size_t len = 0;

	assert(report->len < report->size || !report->text);
	if (!text)
		return;
	qsort(report->lines, report->n_lines, sizeof(*report->lines), compare_lines);
	for (size_t i = 0; i < report->n_lines; i++) {
		memcpy(text + len, report->text + report->lines[i].at, report->lines[i].len);
		report->lines[i].at = len;
		len += report->lines[i].len;
	}
	assert(len <= report->len);
	text[len] = '\0';
	free(report->text);
	report->text = text;
}

void report_cut(struct report *report, size_t len, unsigned count)
{
	assert(!report->text || report->len < report->size);
	if (len < report->len) {
		report->len = len;
		report->text[len] = '\0';
	}
	report->count = count;
	while (report->n_lines && report->lines[report->n_lines - 1].at >= len)
		report->n_lines--;
}

void report_done(struct report *report)
{
	free(report->text);
	free(report->lines);
	*report = (struct report){0};
}
