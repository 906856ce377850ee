/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every worker builds the list of permanent sessions from the newest generation and the listeners
 * in the ledger; which session serves a permanent front is in the session's record. The pauses are
 * the worker's own: an heir begins with the shortest.
 */
#include "base/assert.h"
#include "dispatch/dispatch.h"
#include "dispatch/permanent.h"

#include "base/clock.h"
#include "base/timer.h"
#include "config/config.h"
#include "dispatch/session_begin.h"
#include "dispatch/share.h"
#include "ledger/generation.h"
#include "session/session.h"
#include "session/slot.h"
#include "session/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NO_PLACE_MS = 100 };

static void fill(struct permanent_front *permanent, struct session *session)
{
	struct ledger_session *record = session_record(session);

	assert(record->state == SESSION_CLAIMED);
	if (permanent->listener != PERMANENT_DIALS) {
		slot_feed(record,
			  &permanent->thread->worker->ledger->listeners[permanent->listener],
			  permanent->listener);
	} else {
		record->generation = permanent->generation->number;
		record->route = permanent->route;
		record->endpoint = permanent->dial;
		record->front = FRONT_DIALED;
	}
	record->admitted = 1;
}

static void begin(struct timer *timer)
{
	struct permanent_front *permanent =
		(struct permanent_front *)((char *)timer - offsetof(struct permanent_front, timer));
	struct thread *thread = permanent->thread;
	struct address nobody = {.len = 0};
	uint32_t slot = permanent->generation->route_slots[permanent->route];
	/* Drained, or held. */
	bool stopped = thread->worker->ledger->routes[slot].hand;
	struct session *session = stopped ? NULL : share_claim_permanent(thread, slot);

	assert(!permanent->has_session && thread_is_self(thread));
	if (!session) {
		permanent_begin_after(permanent, NO_PLACE_MS * NSEC_PER_MSEC);
		return;
	}
	session->generation = permanent->generation;
	session->route = permanent_route(permanent);
	session->permanent = permanent;
	permanent->has_session = true;
	permanent->relayed = false;
	fill(permanent, session);
	session_begin(session, &nobody);
}

static bool is_mine(const struct thread *thread, uint32_t number)
{
	return number % thread->worker->n_threads == thread->index;
}

static bool is_feed(const struct thread *thread, const struct ledger_listener *record)
{
	const struct generation *generation =
		generation_find(thread->worker->generations, record->generation);

	return generation && generation->config->routes[record->route]
					     .listen[record->endpoint]
					     .legs[record->leg]
					     .row->capabilities &
				     SPLICED_FEED;
}

static void add(struct thread *thread, const struct permanent_front *like)
{
	struct permanent_front *permanent =
		&thread->dispatch->permanent[thread->dispatch->n_permanent++];

	assert(like->generation && like->route < like->generation->config->n_routes);
	*permanent = *like;
	permanent->thread = thread;
	permanent->timer.fire = begin;
}

static void add_feeds(struct thread *thread)
{
	const struct ledger *ledger = thread->worker->ledger;

	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++) {
		const struct ledger_listener *record = &ledger->listeners[i];

		if (record->state != LISTENER_OPEN || record->paused == PAUSE_DEATHS ||
		    !is_mine(thread, i) || !is_feed(thread, record))
			continue;
		add(thread, &(struct permanent_front){
				    .listener = i,
				    .generation = generation_find(thread->worker->generations,
								  record->generation),
				    .route = record->route});
	}
}

static bool is_paused(const struct thread *thread, uint32_t slot)
{
	return thread->worker->ledger->routes[slot].paused;
}

static uint64_t place_hash(uint32_t listener, uint32_t route, uint32_t dial)
{
	const uint32_t place[] = {listener, route, dial};

	return index_hash(place, sizeof place, 0);
}

/* A thread keeps its sessions for life. */
void permanent_find_owners(struct worker *worker)
{
	const struct ledger *ledger = worker->ledger;

	for (uint32_t slot = 0; slot < ledger_sessions_high(ledger); slot++) {
		const struct ledger_session *record = &ledger->sessions[slot];

		if ((record->state == SESSION_CONNECTING || record->state == SESSION_RELAYING) &&
		    record->front == FRONT_DIALED && !record->kill &&
		    record->generation == worker->generations->number &&
		    index_add(&worker->dials,
			      place_hash(PERMANENT_DIALS, record->route, record->endpoint),
			      record->thread) < 0)
			return;
	}
}

/* The position of a dial in its list is irrelevant. */
static uint32_t dial_owner(const struct worker *worker, uint32_t route, uint32_t dial)
{
	const struct generation *newest = worker->generations;
	uint32_t owner;
	size_t at = 0;

	assert(dial < newest->config->routes[route].n_dial);
	if (index_next(&worker->dials, place_hash(PERMANENT_DIALS, route, dial), &at, &owner))
		return owner;
	return (uint32_t)(newest->config->routes[route].dial[dial].digest +
			  newest->route_slots[route]) %
	       worker->n_threads;
}

static void add_dials(struct thread *thread)
{
	const struct generation *newest = thread->worker->generations;

	for (unsigned i = 0; i < newest->config->n_routes; i++) {
		const struct config_route *route = &newest->config->routes[i];

		for (unsigned k = 0; route->enabled && k < route->n_dial; k++)
			if (dial_owner(thread->worker, i, k) == thread->index &&
			    !is_paused(thread, newest->route_slots[i]))
				add(thread, &(struct permanent_front){.listener = PERMANENT_DIALS,
								      .generation = newest,
								      .route = i,
								      .dial = k});
	}
}

/* Sessions that continue have their place in the newest generation (adopt.c); the others are
 * ended. */
static void find_standing(struct thread *thread, const struct index *index, struct session *session)
{
	const struct ledger_session *record = session->record;
	uint64_t hash;
	uint32_t number;

	if (record->generation != thread->worker->generations->number ||
	    record->front == FRONT_ACCEPTED)
		return;
	hash = record->front == FRONT_FED
		       ? place_hash(record->listener, record->route, 0)
		       : place_hash(PERMANENT_DIALS, record->route, record->endpoint);
	for (size_t at = 0; index_next(index, hash, &at, &number);) {
		struct permanent_front *permanent = &thread->dispatch->permanent[number];

		if (permanent->has_session)
			continue;
		assert(!session->permanent && session->thread == thread);
		session->permanent = permanent;
		permanent->has_session = true;
		permanent->relayed = record->state == SESSION_RELAYING;
		return;
	}
}

static int index_all(const struct thread *thread, struct index *index)
{
	int r = 0;

	for (uint32_t i = 0; i < thread->dispatch->n_permanent && !r; i++)
		r = index_add(index,
			      place_hash(thread->dispatch->permanent[i].listener,
					 thread->dispatch->permanent[i].route,
					 thread->dispatch->permanent[i].dial),
			      i);
	return r;
}

static uint32_t count_all(const struct thread *thread)
{
	const struct config *config = thread->worker->generations->config;
	uint32_t count = ledger_listeners_high(thread->worker->ledger);

	for (unsigned i = 0; i < config->n_routes; i++)
		count += config->routes[i].n_dial;
	return count;
}

int permanent_adopt(struct thread *thread)
{
	const struct ledger *ledger = thread->worker->ledger;
	struct index index = {0};

	assert(!thread->dispatch->permanent && !thread->dispatch->n_permanent);
	thread->dispatch->permanent =
		calloc(count_all(thread) + 1, sizeof *thread->dispatch->permanent);
	if (!thread->dispatch->permanent)
		return -ENOMEM;
	add_feeds(thread);
	add_dials(thread);
	assert(thread->dispatch->n_permanent <= count_all(thread));
	if (index_all(thread, &index) < 0) {
		thread->dispatch->n_permanent = 0;
		index_done(&index);
		return -ENOMEM;
	}
	for (uint32_t slot = 0;
	     thread->dispatch->n_permanent && slot < ledger_sessions_high(ledger); slot++) {
		struct session *session = session_at(thread, slot);

		if (ledger->sessions[slot].thread == thread->index && session->thread == thread &&
		    (ledger->sessions[slot].state == SESSION_CONNECTING ||
		     ledger->sessions[slot].state == SESSION_RELAYING))
			find_standing(thread, &index, session);
	}
	index_done(&index);
	for (uint32_t i = 0; i < thread->dispatch->n_permanent; i++)
		if (!thread->dispatch->permanent[i].has_session)
			permanent_begin_after(&thread->dispatch->permanent[i], 0);
	return 0;
}
