/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What became of each message: of a route, received = sent on + dropped + waiting, at every moment
 * that no message is in hand.
 *
 *   received  taken out of a socket's queue
 *   sent on   into the target's or the client's socket, and not said to be refused there by the
 *             next call (ICMP)
 *   dropped   by reason (sink_drop())
 *   waiting   in a session's pipe: for a target that is being connected, or behind what the sink
 *             has not taken yet
 *
 * Where a format makes frames of messages there may be any number of them, and received is not
 * counted.
 */
#pragma once

#include "ledger/ledger.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session;
struct thread;
struct worker;

/* Messages from side `s` are out of its queue. */
void tally_receive(const struct session *session, unsigned s, uint64_t count);

/*
 * Around a call that takes messages out of a socket's queue, which may lose them then, or sends
 * some: up to `count`, whose headers are the thread's. end: so many of them were taken from side
 * `d`, or sent that way, which is counted now.
 */
void tally_begin(const struct thread *thread, enum ledger_batch batch, uint32_t route_slot,
		 unsigned d, unsigned count);
void tally_begin_batch(const struct session *session, enum ledger_batch batch, unsigned d,
		       unsigned count);
void tally_end(const struct thread *thread, uint64_t done);

/*
 * Of a direction, whose pipe is named in the record. What a worker leaves between two of these is
 * told apart by its heir.
 *
 *   put      so many messages are about to be written into the pipe, by one call, of so many bytes;
 * and it was done, or not take     so many, of so many bytes, are about to be read off it; and it
 * was done, or not let_go   so many are out of it, which is not told by any other count yet send
 * all of them are in the sink lose     all of them are lost
 */
void tally_put(const struct session *session, unsigned d, uint64_t count, size_t bytes);
void tally_was_put(const struct session *session, unsigned d, bool done);
void tally_take(const struct session *session, unsigned d, uint64_t count, size_t bytes);
void tally_was_taken(const struct session *session, unsigned d, bool done);
void tally_let_go(const struct session *session, unsigned d, uint64_t count);
void tally_send_held(const struct session *session, unsigned d);
void tally_lose_held(const struct session *session, unsigned d);

/* A message that was sent came back: nobody was there. It is neither sent nor dropped then. */
void tally_return(const struct session *session, unsigned d);

/* While no thread runs: what waits is counted anew; what the worker before had in hand is lost, or
 * will come again. */
void tally_adopt(const struct worker *worker);
