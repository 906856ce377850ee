/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A direction of a session, named by its source (0: from the client, 1: from the target): the pipe
 * that it has while bytes are in flight, and what is known of its source's end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct session;

/* Lends the direction an empty pipe of at least so many bytes (0: any). False: there is none now.
 * Takes it back, empty. Closes it with what is in it, if it has one. */
bool direction_borrow_pipe(struct session *session, unsigned direction, uint32_t at_least);
void direction_give_pipe_back(struct session *session, unsigned direction);
void direction_discard_pipe(struct session *session, unsigned direction);

/* The source was reset, as the kernel said by `error` (positive errno; EPIPE: after its FIN). What
 * it had sent before can still be read, and is passed on first. */
void direction_note_reset(struct session *session, unsigned side, int error);

/* The source has said its last. One that is known to be lost was reset, and is noted so first. */
void direction_note_end(struct session *session, unsigned side);
