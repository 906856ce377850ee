/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shares: which route may take the next place for a session. Every front asks here: accept(2), a
 * new peer of a datagram listener, feeds and dials.
 *
 *     places    the least of max_sessions and (RLIMIT_NOFILE - those of listeners and of the daemon
 *               itself - the operator's) / 4: a session has at most four descriptors, a socket and
 *               a pipe each way
 *     operator's descriptors   SHARE_OPERATOR, but at most an eighth of RLIMIT_NOFILE: control
 *                              connections, reloads
 *     permanent  one place for each feed and dial, that nothing else takes
 *     reserve   (places - permanent) / (2 * routes), at most SHARE_RESERVE_MAX: of each enabled
 *               route, that no other takes
 *     common    places - permanent - routes * reserve
 *
 * A route that has n sessions may take one more while n < reserve, or while
 *
 *     n - reserve  <  SHARE_ALPHA * (common - what all routes hold of it)
 *
 * as in a switch whose ports share one buffer: a flooded route leaves some of what is free, and the
 * more are flooded, the less each has. One route alone leaves 1 / (SHARE_ALPHA + 1) of the common
 * places. If there are so many routes that the reserve is 0, 1 takes the place of SHARE_ALPHA. If
 * only one route is enabled, it may take all.
 *
 * The counts belong to the worker; an heir counts again. No lock: a place is counted, then looked
 * at, and given back if it was one too many.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	SHARE_RESERVE_MAX = 16,
	SHARE_ALPHA = 8,
	SHARE_OPERATOR = 96, /* 64 control connections, and what a reload opens */
	SHARE_PLACES_MIN = 4,
};

struct generation;
struct ledger;
struct session;
struct thread;

struct share_route {
	uint32_t reserve;
	_Atomic uint32_t held; /* by sessions that clients asked for */
};

struct share {
	struct share_route *routes; /* by record of the ledger */
	uint32_t places, common, alpha;
	uint32_t n_routes;   /* that are enabled, and have clients */
	bool by_descriptors; /* places are fewer than max_sessions */
	_Atomic uint32_t common_held;
};

/* Computes the shares of the newest configuration, and counts the existing sessions. -ENOMEM. */
int share_new(struct share **ret, struct ledger *ledger, struct generation *generations);

/* A place of the route for a client's session, within limit.sessions: a claimed slot, its
 * generation and route still to be set. 0, or why there is none (enum ledger_pause), which is
 * then in the route's record. */
int share_claim(struct thread *thread, uint32_t route, uint32_t limit, struct session **ret);

/* A place of a feed's or a dial's session. NULL: all slots are taken. */
struct session *share_claim_permanent(struct thread *thread, uint32_t route);

/* A session of the previous worker keeps its place. */
void share_adopt(struct session *session);

/* Releases a claimed place without a session. */
void share_abandon(struct session *session, uint32_t route);

/* Releases the place and the slot of a session that has ended. One on the ready list keeps both
 * until it leaves the list. */
void share_release(struct session *session);
