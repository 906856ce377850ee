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
#define FED_NO_MESSAGE DROPPED_REASONS

/* A listener while it is read. */
struct fed {
	struct thread *thread;
	struct listener *listener;
	uint32_t index;
	const struct config_route *route;
	const struct config_leg *leg;
	uint32_t route_slot;
};

/* Reads what there is, within a turn's bounds. True: there may be more. */
bool fed_receive(struct thread *thread, struct listener *listener, uint32_t index);

/* Takes the message at the head of the queue away, and counts it: it was in hand at two deaths. */
void fed_skip(struct thread *thread, struct listener *listener, uint32_t index);

/* ---- what its readers share: fed_read.c, and fed_lanes.c for lanes ---- */

void fed_init(struct fed *fed, struct thread *thread, struct listener *listener, uint32_t index);

/* The counts of its route, in the thread's column. */
struct ledger_counter *fed_counter(const struct fed *fed);

/* Whether its senders lose nothing; whether they are held back rather than their messages
 * dropped. */
bool fed_is_reliable(const struct fed *fed);
bool fed_holds_back(const struct fed *fed);

/* Counts messages that are dropped. */
void fed_drop(const struct fed *fed, enum drop why, uint64_t count);

/* The session of whoever sent a message, made anew for a new one. NULL: there is none; *why. */
struct session *fed_find(const struct fed *fed, struct msghdr *header, enum drop *why);

/* Whether a sender may send here at all, and where he stands in a chain; else *why. */
bool fed_admit(const struct fed *fed, const struct address *address, struct chain *chain,
	       enum drop *why);

/* A new session for a peer, or a lane (address without length, no chain); NULL: there is no
 * place. */
struct session *fed_begin(const struct fed *fed, const struct peer *peer,
			  const struct address *address, const struct chain *chain);

/* A session that ended while it began is no session. */
bool fed_is_alive(const struct session *session);

/* Hands messages of one peer to its session. Those that it does not take are left: their number. */
unsigned fed_hand_in(const struct fed *fed, struct session *session, const struct iovec *messages,
		     unsigned count);

/* The same of `count` messages of the batch; what is left is dropped. No session: all of them are,
 * *why. */
void fed_hand_in_run(const struct fed *fed, struct session *session, enum drop why, unsigned count);
