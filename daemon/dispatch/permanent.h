/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Permanent sessions: those that no client requests. A feed's messages simply come, and a `dial` is
 * connected by us; each has one session, in one thread, and when that ends a new one is begun,
 * after a pause that doubles up to retry.max_backoff.
 */
#pragma once

#include "base/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct config_route;
struct generation;
struct session;
struct thread;
struct worker;

#define PERMANENT_DIALS UINT32_MAX

struct permanent_front {
	struct timer timer; /* set while there is no session */
	struct thread *thread;
	const struct generation *generation;
	uint32_t listener; /* of a feed; PERMANENT_DIALS: a dial */
	uint32_t route, dial;
	uint32_t failures;
	bool has_session, relayed, left;
};

/* Before there are threads: assigns the dials' sessions to threads. */
void permanent_find_owners(struct worker *worker);

/* Once every session is adopted: finds existing sessions, and begins the others. -ENOMEM. */
int permanent_adopt(struct thread *thread);

/* A permanent session moves traffic: when it ends, the next pause is the shortest. */
void permanent_relays(struct session *session);

/* It has ended. */
void permanent_ended(struct session *session);

/* A feed's listener leaves: no new session is begun from it. */
void permanent_leave(struct thread *thread, uint32_t listener);

/* The permanent front of a session; and begins a session after a pause, in ns. */
const struct config_route *permanent_route(const struct permanent_front *permanent);
void permanent_begin_after(struct permanent_front *permanent, uint64_t pause);
