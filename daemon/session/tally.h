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

#include <stdint.h>

struct session;
struct worker;

/* Messages from side `s` are out of its queue. */
void tally_receive(const struct session *session, unsigned s, uint64_t count);

/* Of a direction: messages are in its pipe, which is named in the record; all of them, or so many,
 * are out of it, which is not told by any other count yet; all of them are in the sink; all of them
 * are lost. */
void tally_hold(const struct session *session, unsigned d, uint64_t count);
void tally_let_go(const struct session *session, unsigned d, uint64_t count);
void tally_send_held(const struct session *session, unsigned d);
void tally_lose_held(const struct session *session, unsigned d);

/* A message that was sent came back: nobody was there. It is neither sent nor dropped then. */
void tally_return(const struct session *session, unsigned d);

/* While no thread runs: what waits is counted anew; what the worker before had in hand is lost, or
 * will come again. */
void tally_adopt(const struct worker *worker);
