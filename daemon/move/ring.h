/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages in memory shared with the kernel (struct spliced_ring): they are sent from there, and
 * their room is returned to the kernel once they are sent. What the sink does not accept stays
 * there.
 */
#pragma once

#include <stdbool.h>

struct session;

/* Maps the ring of a side's socket, if it has one; unmaps it. 0 or negative errno. */
int ring_map(struct session *session, unsigned side);
void ring_unmap(struct session *session);

/* Returns the room of the first messages read from a side's ring to the kernel. */
void ring_consume(struct session *session, unsigned side, unsigned count);

/* Moves a batch. 0: continue; positive: enum step_result. *large: the next message was too large
 * for the ring; it is the first in the socket's queue, and consumed in both. */
int ring_move(struct session *session, unsigned side, bool *large);
