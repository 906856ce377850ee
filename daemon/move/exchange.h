/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The exchange: one direction of a session that has messages at one end or at both, from its source
 * to its sink.
 *
 *   source                        how it is read
 *   message, reliable             peeked, sent, consumed: a crash in between repeats it, and loses
 *                                 none
 *   message, with a format        the same, frame by frame; or from a ring, many at once
 *   message, else                 in batches; what the sink does not take is dropped, as `overflow`
 *                                 says
 *   stream                        whole frames are peeked, sent, consumed
 *   a listener many peers share   not read here: its messages are handed in (datagram.h)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct mover;

extern const struct mover exchange_mover;

/* drop-old: whether to drop the oldest message in a socket's queue for newer ones: the queue is
 * crowded; or, if the kernel does not report that, the message has waited for a moment since *stuck
 * (CLOCK_MONOTONIC ns, 0: starts now), which is updated. */
bool exchange_gives_up(int fd, uint64_t now, uint64_t *stuck);

enum { EXCHANGE_MOMENT_MS = 1 }; /* ... and when to look again */
