/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What families answered while a generation was checked, in the order in which they were asked. A
 * child that may crash or hang asks, and writes the answers down; the keeper, who must do neither,
 * reads the same text with the same answers, and runs no code of a family's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct check;

/* What was asked. Their numbers stand in generations: new ones come last. */
enum answer { ANSWER_ADDRESS = 1, ANSWER_MUTE, ANSWER_NEEDS, ANSWER_COMPANION, ANSWER_RULE };

enum answers_mode { ANSWERS_ASKED, ANSWERS_WRITTEN, ANSWERS_READ };

struct answers {
	enum answers_mode mode;
	char *bytes; /* WRITTEN: malloc()ed, for the caller to free; READ: the caller's */
	size_t len, room;
	size_t at; /* READ: of the next one */
	int error; /* WRITTEN: -ENOMEM; READ: -EPROTO, they are answers to other questions. Sticky
		    */
};

/* READ: true, and *r and the size bytes at out (which may be fewer than that: the rest is zeros)
 * are what was answered; after an error *r is that. Else false: ask, and give the answer to
 * answers_note(). */
bool answers_know(struct check *check, enum answer what, int64_t *r, void *out, size_t size);

/* WRITTEN: writes the answer down, without zeros at its end. Returns r. */
int64_t answers_note(struct check *check, enum answer what, int64_t r, const void *bytes,
		     size_t size);

/* READ: whether all was asked that was answered. 0, or the error. */
int answers_end(const struct answers *answers);
