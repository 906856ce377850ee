/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a listener feeds its lanes. A message belongs to the member whose turn it is until that one's
 * socket has taken it: if the socket reports that it has not, or cannot be connected, the message
 * goes to the next member that is not known to fail. So a member that dies loses only what it had
 * taken.
 */
#pragma once

#include "ledger/ledger.h"

#include <stdbool.h>
#include <sys/uio.h>

struct datagram_front;
struct msghdr;
struct session;

/* Hands in so many messages of the thread's batch, each to the next member. */
void datagram_lanes_hand_in(const struct datagram_front *front, int n);

/* Hands in one. False: no member takes it; *why. */
bool datagram_lanes_take(const struct datagram_front *front, struct msghdr *header,
			 const struct iovec *message, enum drop *why);

/* Gives messages of a lane to others that do not fail: how many were taken. */
unsigned datagram_lanes_offer(const struct session *session, const struct iovec *messages,
			      unsigned count);

/* What waits in the pipe of a lane and has not begun to leave goes to the others, as far as they
 * have room. True: nothing waits there any more. */
bool datagram_lanes_pass_on(struct session *session);
