/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading an answer. All of it is borrowed from the answer's root. */
#include "member.h"

#include <string.h>

const json_t *member(const json_t *object, const char *path)
{
	char name[64];

	for (;;) {
		size_t len = strcspn(path, ".");

		if (len >= sizeof(name))
			return NULL;
		memcpy(name, path, len);
		name[len] = '\0';
		object = json_object_get(object, name);
		if (!object || path[len] == '\0')
			return object;
		path += len + 1;
	}
}

const char *member_text(const json_t *object, const char *path)
{
	const char *text = json_string_value(member(object, path));

	return text ? text : "";
}

bool member_true(const json_t *object, const char *path)
{
	return json_is_true(member(object, path));
}

json_int_t member_number(const json_t *object, const char *path)
{
	return json_integer_value(member(object, path));
}

double member_real(const json_t *object, const char *path)
{
	return json_number_value(member(object, path));
}
