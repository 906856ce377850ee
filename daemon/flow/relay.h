/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The relay: one direction of a session, from its source through a pipe to its sink, by splice(2).
 *
 * Every byte is at any instant in the source's receive queue, in the pipe that the record names, or in the sink's send
 * queue; nothing is held here but counts that the kernel can tell again.
 */
#pragma once

#include "flow/step.h"

#include <stdint.h>

struct session;

/* Moves one direction (0: from the client, 1: from the target) as far as it goes: enum step_result, or negative errno. */
int relay_step(struct session *session, unsigned direction);

/* A side was reset, as the kernel said by `error` (positive errno; EPIPE: after its FIN). What it had sent before can still be
 * read, and is passed on first. */
void relay_note_reset(struct session *session, unsigned side, int error);

/* A side has said its last. One that is known to be lost was reset, and is noted so first. */
void relay_note_end(struct session *session, unsigned side);

/* The steps of it that framed messages take too, with results as relay_step()'s. Lends the direction an empty pipe of at least so many
 * bytes (0: any), takes it back, closes it with what is in it, moves what is in it into the sink (0: emptied), and says the source's end, which has been read, to the
 * sink. */
int relay_borrow_pipe(struct session *session, unsigned direction, uint32_t at_least);
void relay_give_pipe_back(struct session *session, unsigned direction);
void relay_discard_pipe(struct session *session, unsigned direction);
int relay_drain_pipe(struct session *session, unsigned direction);
int relay_finish(struct session *session, unsigned direction);
