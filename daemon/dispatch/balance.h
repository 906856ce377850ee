/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Balance: which member of a pool is chosen, of those that may be chosen. Only the arithmetic is
 * here; pool_view.h has which members may be chosen.
 *
 * Every member has as many places in a row as its weight, one behind the other. roundrobin takes
 * the next ticket of the route's counter, which all threads share, and goes to the place
 *
 *     ticket * stride  mod  places         stride near 0.618034 of the places, prime to them; 1
 * where all weights are equal, so that the order is the list's
 *
 * so that in as many tickets as there are places each is visited once, and a member's turns lie
 * apart. A session whose attempt at a member failed takes tickets of a second counter, and skips
 * those of members that it has tried: the rest is shared by the other members according to their
 * weights.
 *
 * leastconn compares sessions by weight: of all where the pool is small, else of BALANCE_SAMPLE
 * that are drawn; random of two. The ticket decides between equal ones. first takes the first of
 * the list. source goes by a hash ring (balance_ring.h).
 *
 * A member that has as many sessions as it takes is skipped like one that was tried. Where that
 * leaves a way without an answer, because most members are full, the others are searched through
 * once, from a place drawn by the ticket.
 */
#pragma once

#include "config/config.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	BALANCE_TRIED_MAX = 8,	  /* members that a session lists as tried */
	BALANCE_TICKETS_MAX = 32, /* before the place is computed without those it has tried */
	BALANCE_NOBODY = UINT32_MAX,
	BALANCE_COMPARED_MAX = 64, /* leastconn: of larger pools ... */
	BALANCE_SAMPLE = 8,	   /* ... so many are compared */
	BALANCE_STEPS_MAX = 256,   /* source: points to walk from one whose member is gone; then
				    * the hash chooses of those that are left */
};

struct balance_ring;
struct ledger_target;

/* Those that may be chosen. */
struct balance {
	uint32_t n;
	uint32_t *members; /* their numbers in the route, in its order */
	uint32_t *sums;	   /* [i]: the weights of the first i + 1 of them */
	uint32_t total, stride;
	const struct ledger_target *targets; /* where the sessions of each are counted, */
	const uint32_t *slots;		     /* by its number in the route */
	const struct balance_ring *ring;     /* NULL: there is none */
	const uint32_t *limits; /* by record: how many sessions it takes; 0: any number. NULL:
				   no member of the pool has a limit */
};

/* The session that asks. */
struct balance_ask {
	_Atomic uint32_t *turn, *retry_turn; /* the route's tickets */
	const uint16_t *tried;		     /* members to skip */
	unsigned n_tried;		     /* BALANCE_TRIED_MAX at most */
	uint64_t key;			     /* of the client, peer_key.h; 0: not known */
};

/* Members and their weights, above 0, are in members[] and sums[]: fills in the rest. Weights are
 * made smaller in proportion where their sum is too large. */
void balance_set(struct balance *balance, uint32_t n);

/* One of them, which the session has not tried, or BALANCE_NOBODY. */
uint32_t balance_choose(const struct balance *balance, enum config_balance how,
			const struct balance_ask *ask);

/* Whether the member with this index takes another session now. */
bool balance_has_place(const struct balance *balance, uint32_t i);

/* A member's index among those that may be chosen, or BALANCE_NOBODY. */
uint32_t balance_find(const struct balance *balance, uint32_t member);

/* A number that nothing of `from` shows in: the same each time. */
uint64_t balance_mix(uint64_t from);
