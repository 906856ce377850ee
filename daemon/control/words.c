/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text chosen by others may contain any bytes: a client's address in the file system, a
 * configuration's path, a family's message. Invalid UTF-8 is replaced, as terminals do.
 */
#include "control/words.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd";

static json_t *replace(const char *text, size_t len)
{
	char *clean = malloc(len * (sizeof(replacement) - 1) + 1), *end = clean;
	json_t *string;

	if (!clean)
		return json_string("?");
	for (size_t at = 0, character; at < len; at += character ? character : 1) {
		character = text_character_len(text + at, len - at);
		if (character)
			end = mempcpy(end, text + at, character);
		else
			end = mempcpy(end, replacement, sizeof(replacement) - 1);
	}
	*end = '\0';
	string = json_string(clean);
	free(clean);
	return string;
}

json_t *words_json(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return json_null();
	return text_utf8_len(text, len) == len ? json_string(text) : replace(text, len);
}
