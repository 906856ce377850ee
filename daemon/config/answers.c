/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/answers.h"

#include "config/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In front of each answer's bytes. */
struct entry {
	uint32_t what;
	uint32_t len;
	int64_t r;
};

enum { FIRST_ROOM = 4096 };

bool answers_know(struct check *check, enum answer what, int64_t *r, void *out, size_t size)
{
	struct answers *answers = &check->answers;
	struct entry entry;

	if (answers->mode != ANSWERS_READ)
		return false;
	if (size)
		memset(out, 0, size);
	if (!answers->error && answers->len - answers->at >= sizeof(entry)) {
		memcpy(&entry, answers->bytes + answers->at, sizeof(entry));
		if (entry.what == what && entry.len <= size &&
		    entry.len <= answers->len - answers->at - sizeof(entry)) {
			if (entry.len)
				memcpy(out, answers->bytes + answers->at + sizeof(entry),
				       entry.len);
			answers->at += sizeof(entry) + entry.len;
			*r = entry.r;
			return true;
		}
	}
	answers->error = -EPROTO;
	*r = -EPROTO;
	return true;
}

static bool make_room(struct answers *answers, size_t len)
{
	size_t room = answers->room ? answers->room : FIRST_ROOM;
	char *bytes;

	while (room - answers->len < len)
		room *= 2;
	bytes = room > answers->room ? realloc(answers->bytes, room) : answers->bytes;
	if (!bytes)
		return false;
	answers->bytes = bytes;
	answers->room = room;
	return true;
}

int64_t answers_note(struct check *check, enum answer what, int64_t r, const void *bytes,
		     size_t size)
{
	struct answers *answers = &check->answers;
	struct entry entry = {.what = what, .r = r};

	if (answers->mode != ANSWERS_WRITTEN || answers->error)
		return r;
	while (size && !((const char *)bytes)[size - 1])
		size--;
	entry.len = (uint32_t)size;
	if (!make_room(answers, sizeof(entry) + size)) {
		answers->error = -ENOMEM;
		return r;
	}
	memcpy(answers->bytes + answers->len, &entry, sizeof(entry));
	if (size)
		memcpy(answers->bytes + answers->len + sizeof(entry), bytes, size);
	answers->len += sizeof(entry) + size;
	return r;
}

int answers_end(const struct answers *answers)
{
	if (answers->error)
		return answers->error;
	return answers->mode == ANSWERS_READ && answers->at != answers->len ? -EPROTO : 0;
}
