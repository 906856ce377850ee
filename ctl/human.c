/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text for people. A peer's name may hold anything (a UNIX socket's path is bytes), so what is
 * written to a terminal passes human_write(), or a libsmartcols cell, which escapes in the same
 * way.
 */
#include "human.h"

#include <stdbool.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

const char *human_size(uint64_t bytes, char *text)
{
	static const char units[] = "BKMGTPE";
	double value = (double)bytes;
	unsigned unit = 0;

	/* 1023.5 would round up to four digits of the smaller unit */
	while (value >= 1023.5 && units[unit + 1]) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(text, HUMAN_NUMBER_MAX, "%.0f", value);
	else
		snprintf(text, HUMAN_NUMBER_MAX, value < 9.95 ? "%.1f%c" : "%.0f%c", value,
			 units[unit]);
	return text;
}

const char *human_age(double seconds, char *text)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}};
	uint64_t whole;
	unsigned i = 0;

	if (!(seconds > 0)) /* not a number is no age either */
		seconds = 0;
	if (seconds > 1e15)
		seconds = 1e15;
	if (seconds < 1) {
		snprintf(text, HUMAN_NUMBER_MAX, "%ums", (unsigned)(seconds * 1000));
		return text;
	}
	whole = (uint64_t)seconds;
	while (whole < units[i].seconds)
		i++;
	if (units[i].seconds == 1)
		snprintf(text, HUMAN_NUMBER_MAX, "%us", (unsigned)whole);
	else
		snprintf(text, HUMAN_NUMBER_MAX, "%llu%s%llu%s",
			 (unsigned long long)(whole / units[i].seconds), units[i].name,
			 (unsigned long long)(whole % units[i].seconds / units[i + 1].seconds),
			 units[i + 1].name);
	return text;
}

static void bytes_write(const char *text, size_t left, FILE *file)
{
	while (left > 0) {
		mbstate_t state = {0};
		wchar_t wide;
		size_t len = mbrtowc(&wide, text, left, &state);
		size_t i;

		if (len > 0 && len <= left && iswprint((wint_t)wide)) {
			fwrite(text, 1, len, file);
		} else {
			if (len == 0 || len > left)
				len = 1; /* no character of this locale: one byte of it */
			for (i = 0; i < len; i++)
				fprintf(file, "\\x%02x", (unsigned char)text[i]);
		}
		text += len;
		left -= len;
	}
}

void human_write(const char *text, FILE *file)
{
	bytes_write(text, strlen(text), file);
}

void human_write_lines(const char *text, int indent, FILE *file)
{
	bool first = true;

	while (*text) {
		size_t len = strcspn(text, "\n");

		if (len > 0) {
			fprintf(file, "%*s", first ? 0 : indent, "");
			bytes_write(text, len, file);
			fputc('\n', file);
			first = false;
		}
		text += len + (text[len] == '\n');
	}
	if (first)
		fputc('\n', file);
}
