/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Datagram listeners: one socket, many peers. Each message goes to the session of its peer, which
 * is made for the first of them and lives until it was idle for timeout.idle, or has got its
 * replies. Sessions of a listener are its thread's.
 */
#pragma once

#include "ledger/ledger.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct address;
struct chain;
struct config_leg;
struct config_route;
struct listener;
struct msghdr;
struct peer;
struct session;
struct thread;

/* A reason to drop what another socket of ours has, or has sent: it is not even counted as
 * received. */
#define DATAGRAM_NO_MESSAGE DROPPED_REASONS

/* A listener while it is read. */
struct datagram_front {
	struct thread *thread;
	struct listener *listener;
	uint32_t index;
	const struct config_route *route;
	const struct config_leg *leg;
	uint32_t route_slot;
};

/* Reads what there is, within a turn's bounds. True: there may be more. */
bool datagram_receive(struct thread *thread, struct listener *listener, uint32_t index);

/* Takes the message at the head of the queue away, and counts it: it was in hand at two deaths. */
void datagram_skip(struct thread *thread, struct listener *listener, uint32_t index);

/* ---- what its readers share: datagram_read.c, and datagram_lanes.c for lanes ---- */

void datagram_init(struct datagram_front *front, struct thread *thread, struct listener *listener,
		   uint32_t index);

/* The counts of its route, in the thread's column. */
struct ledger_counter *datagram_counter(const struct datagram_front *front);

/* Whether its senders lose nothing; whether they are held back rather than their messages
 * dropped. */
bool datagram_is_reliable(const struct datagram_front *front);
bool datagram_holds_back(const struct datagram_front *front);

/* Counts messages that are dropped. */
void datagram_drop(const struct datagram_front *front, enum drop why, uint64_t count);

/* The session of a message's sender, made for a new sender. NULL: there is none; *why. */
struct session *datagram_find(const struct datagram_front *front, struct msghdr *header,
			      enum drop *why);

/* Whether a sender may send here at all, and its position in a chain; else *why. */
bool datagram_admit(const struct datagram_front *front, const struct address *address,
		    struct chain *chain, enum drop *why);

/* A new session for a peer, or a lane (address without length, no chain); NULL: there is no
 * place. */
struct session *datagram_begin(const struct datagram_front *front, const struct peer *peer,
			       const struct address *address, const struct chain *chain);

/* A session that ended while it began is no session. */
bool datagram_is_alive(const struct session *session);

/* Hands messages of one peer to its session. Those that it does not take are left: their number. */
unsigned datagram_hand_in(const struct datagram_front *front, struct session *session,
			  const struct iovec *messages, unsigned count);

/* The same of `count` messages of the batch; what is left is dropped. No session: all of them are,
 * *why. */
void datagram_hand_in_run(const struct datagram_front *front, struct session *session,
			  enum drop why, unsigned count);
