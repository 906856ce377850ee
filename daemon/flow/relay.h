/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The relay: one direction of a session, from its source through a pipe to its sink, by splice(2).
 *
 * Every byte is at any instant in the source's receive queue, in the pipe that the record names, or in the sink's send
 * queue; nothing is held here but counts that the kernel can tell again.
 */
#pragma once

#include <stdint.h>

struct session;

enum relay_result {
	RELAY_BLOCKED = 1, /* nothing more can be moved now */
	RELAY_MORE,        /* the turn's share is used up, and there may be more */
	RELAY_DONE,        /* the source's FIN was passed on */
	RELAY_SOURCE_RESET, /* all that the source sent before its reset was passed on */
	RELAY_SINK_RESET,
	RELAY_STARVED,     /* no pipe to be had */
};

/* Moves one direction (0: from the client, 1: from the target) as far as it goes. Positive: enum relay_result; negative
 * errno: the kernel refused what it never should. */
int relay_step(struct session *session, unsigned direction);

/* A side was reset, as the kernel said by `error` (positive errno; EPIPE: after its FIN). What it had sent before can still be
 * read, and is passed on first. */
void relay_note_reset(struct session *session, unsigned side, int error);

/* The steps of it that framed messages take too, with results as relay_step()'s. Lends the direction an empty pipe of at least so many
 * bytes (0: any), takes it back, closes it with what is in it, moves what is in it into the sink (0: emptied), and says the source's end, which has been read, to the
 * sink. */
int relay_borrow_pipe(struct session *session, unsigned direction, uint32_t at_least);
void relay_give_pipe_back(struct session *session, unsigned direction);
void relay_discard_pipe(struct session *session, unsigned direction);
int relay_drain_pipe(struct session *session, unsigned direction);
int relay_finish(struct session *session, unsigned direction);
