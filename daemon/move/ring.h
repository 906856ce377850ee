/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages that lie in memory which the kernel shares with us (struct spliced_ring): they are sent
 * from there, and their room is given back once they are on their way. What the sink does not take
 * stays there.
 */
#pragma once

#include <stdbool.h>

struct session;

/* Maps the ring of a side's socket, where it has one; and unmaps what was mapped. 0 or negative
 * errno. */
int ring_map(struct session *session, unsigned side);
void ring_unmap(struct session *session);

/* The kernel may have the room of the first messages that were read from a side's ring. */
void ring_consume(struct session *session, unsigned side, unsigned count);

/* Moves a batch. 0: go on; positive: enum step_result. *large: the next message was too large for
 * the ring; it is the first in the socket's queue, and consumed in both. */
int ring_move(struct session *session, unsigned side, bool *large);
