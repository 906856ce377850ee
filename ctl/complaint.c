/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Complaints: wrong usage, a daemon that does not answer. A program that asked for JSON parses
 * standard output and does not read standard error, so it gets an answer of the same shape as the
 * daemon's refusals.
 */
#include "complaint.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static bool in_json;

void complaint_in_json(void)
{
	in_json = true;
}

static void say_json(int code, const char *text)
{
	json_t *answer = json_pack("{s:b, s:s, s:i}", "ok", 0, "error", text, "exit", code);

	/* What was typed need not be UTF-8. */
	if (!answer)
		answer = json_pack("{s:b, s:s, s:i}", "ok", 0, "error", "not text in UTF-8", "exit",
				   code);
	if (answer && json_dumpf(answer, stdout, 0) == 0)
		putchar('\n');
	json_decref(answer);
}

void complaint_say(int code, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (in_json)
		say_json(code, text);
	else
		fprintf(stderr, "splicectl: %s\n", text);
}
