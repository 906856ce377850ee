/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread's view of a route's pool: the members that may be chosen now. These are up and have a
 * weight; backups only if there is no other; of a service, only those of the lowest priority that
 * has any. It is rebuilt from all members when the route's pool_epoch in the ledger has changed,
 * and periodically; choosing from it does not look at members that cannot be chosen.
 */
#pragma once

#include "dispatch/balance.h"

#include <stdbool.h>
#include <stdint.h>

struct generation;
struct queue;
struct thread;
struct worker;

struct pool_view {
	struct balance balance;
	uint32_t size; /* members of the pool */
	uint32_t
		n_probes; /* members that are down, and are tried periodically: pool_view_probe() */
	uint32_t prime;	  /* not below `size`, and above 1 */
	uint32_t epoch;
	uint64_t rank;	 /* the lowest of those that may be chosen: pool_view_rank() */
	bool has_spares; /* backups, or members of later priorities, besides these */
	uint64_t until;	 /* it is rebuilt then, whatever the epoch; 0: it has not been built */
	const struct queue *queue; /* NULL: no member has a limit */
	uint32_t queue_size;	   /* `queue` of those that may be chosen together */
	bool is_full;		   /* no member had a place ... */
	uint32_t full_at;	   /* ... when the queue had changed so often */
};

/* The hash rings of all routes that have one, for all threads of a worker. 0 or -ENOMEM. */
int pool_rings_init(struct worker *worker);

/* Memory for the views of a thread: of all routes of all generations. 0 or -ENOMEM. */
int pool_views_init(struct thread *thread);

/* The view as it is now. */
struct pool_view *pool_view(const struct thread *thread, const struct generation *generation,
			    uint32_t route);

/* Whether a member, also a backup, is up and has a weight. */
bool pool_view_lives(const struct thread *thread, const struct generation *generation,
		     uint32_t route, uint32_t member);

/* Whether a member has a place for another session; also, that none may be chosen at all: then
 * nothing is waited for. */
bool pool_view_has_place(struct pool_view *view);

/* The member whose place became free last, if it still has one; or BALANCE_NOBODY. */
uint32_t pool_view_freed(const struct pool_view *view);

/* Which members are preferred: those of a lower rank. By backup, then by the priority of its
 * service's record. Below 2^32. */
uint64_t pool_view_rank(const struct thread *thread, const struct generation *generation,
			uint32_t route, uint32_t member);

/* Of the members that are down, one by its number below n_probes. */
uint32_t pool_view_probe(const struct pool_view *view, uint32_t number);
