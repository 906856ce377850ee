/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What became of each message: of a route, received = sent + dropped + waiting, at every moment
 * that no message is in hand.
 *
 *   received  taken out of a socket's queue
 *   sent      into the target's or the client's socket, and not said to be refused there by the
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
 * Around a call that removes messages from a socket's queue, which may lose them, or that sends
 * messages: up to `count`, with the thread's headers. end: counts how many were received from side
 * `d`, or sent in that direction.
 */
void tally_begin(const struct thread *thread, enum ledger_batch batch, uint32_t route_slot,
		 unsigned d, unsigned count);
void tally_begin_batch(const struct session *session, enum ledger_batch batch, unsigned d,
		       unsigned count);
void tally_end(const struct thread *thread, uint64_t done);

/*
 * For a direction whose pipe is in the record. An heir can tell what a dead worker left between two
 * of these.
 *
 *   put      one call is about to write `count` messages, `bytes` in all, into the pipe;
 *   was_put  it was done, or not
 *
 *   take       `count` messages, `bytes` in all, are about to be read from it;
 *   was_taken  it was done, or not
 *
 *   let_go     `count` messages left it, and no other function counts them
 *
 *   send_held  all of them are in the sink
 *
 *   lose_held  all of them are lost
 */
void tally_put(const struct session *session, unsigned d, uint64_t count, size_t bytes);
void tally_was_put(const struct session *session, unsigned d, bool done);
void tally_take(const struct session *session, unsigned d, uint64_t count, size_t bytes);
void tally_was_taken(const struct session *session, unsigned d, bool done);
void tally_let_go(const struct session *session, unsigned d, uint64_t count);
void tally_send_held(const struct session *session, unsigned d);
void tally_lose_held(const struct session *session, unsigned d);

/* A message that was sent came back: the target was not there. It counts neither as sent nor as
 * dropped. */
void tally_return(const struct session *session, unsigned d);

/* While no thread runs: counts waiting messages again; what the previous worker had in hand is
 * lost, or will be received again. */
void tally_adopt(const struct worker *worker);
