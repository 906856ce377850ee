/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A direction of a session, named by its source (0: from the client, 1: from the target): its pipe
 * while bytes are in flight, and the state of its source's end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct session;

/* Lends the direction an empty pipe of at least this many bytes (0: any). False: none is available.
 * Returns it, empty. Closes it with its contents, if there is one. */
bool direction_borrow_pipe(struct session *session, unsigned direction, uint32_t at_least);
void direction_give_pipe_back(struct session *session, unsigned direction);
void direction_discard_pipe(struct session *session, unsigned direction);

/* The source was reset, as `error` shows (positive errno; EPIPE: after its FIN). What it sent
 * before can still be read, and is forwarded first. */
void direction_note_reset(struct session *session, unsigned side, int error);

/* EOF of the source. If it is known to be lost, a reset is recorded first. */
void direction_note_end(struct session *session, unsigned side);
