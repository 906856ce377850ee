/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rule is in the header. Always true, once every thread has adopted: what the routes hold of
 * the common places is the sum of what each holds beyond its reserve. A count that steps over the
 * reserve, up or down, moves the sum with it, whatever other threads do at the same time.
 */
#include "dispatch/share.h"

#include "base/assert.h"
#include "base/log.h"
#include "config/config.h"
#include "config/limit.h"
#include "dispatch/health.h"
#include "ledger/generation.h"
#include "session/session.h"
#include "session/slot.h"
#include "session/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum {
	DESCRIPTORS_FIXED = 48, /* standard streams, ledger, log, service manager, resolver, and
				   what is opened for a moment */
	DESCRIPTORS_OF_A_THREAD = 2, /* epoll(7), eventfd(2) */
	OPERATOR_PART = 8, /* of RLIMIT_NOFILE, one in so many is the operator's at most */
};

/* Those of health checks that are under way. */
static uint32_t count_checks(const struct config *config)
{
	uint32_t count = 0;

	for (unsigned i = 0; i < config->n_routes; i++)
		for (unsigned k = 0; config->routes[i].enabled && k < config->routes[i].n_targets;
		     k++)
			count += config->routes[i].targets[k].health != NULL;
	return count < HEALTH_ASKS_MAX ? count : HEALTH_ASKS_MAX;
}

/* Descriptors that are not of sessions. */
static uint64_t count_other_descriptors(const struct ledger *ledger, const struct config *config)
{
	uint64_t count =
		DESCRIPTORS_FIXED + (uint64_t)DESCRIPTORS_OF_A_THREAD * (ledger->n_threads + 1);

	count += count_checks(config);
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state != LISTENER_FREE)
			count += ledger_sockets(&ledger->listeners[i]);
	return count;
}

static uint32_t count_places(const struct ledger *ledger, const struct config *config)
{
	uint64_t others = count_other_descriptors(ledger, config), operators = SHARE_OPERATOR,
		 places;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return ledger->n_sessions;
	if (operators > limit.rlim_cur / OPERATOR_PART)
		operators = limit.rlim_cur / OPERATOR_PART;
	places = limit.rlim_cur > others + operators
			 ? (limit.rlim_cur - others - operators) / LIMIT_SESSION_DESCRIPTORS
			 : 0;
	if (places < SHARE_PLACES_MIN)
		places = SHARE_PLACES_MIN;
	return places < ledger->n_sessions ? (uint32_t)places : ledger->n_sessions;
}

static bool is_feed(const struct config_endpoint *endpoint)
{
	return endpoint->legs[0].row->capabilities & SPLICED_FEED;
}

/* Feeds and dials; *has_clients: the route has listeners, too. */
static uint32_t count_permanent(const struct config_route *route, bool *has_clients)
{
	uint32_t count = route->n_dial;

	*has_clients = false;
	for (unsigned i = 0; i < route->n_listen; i++)
		if (is_feed(&route->listen[i]))
			count += route->listen[i].n_legs;
		else
			*has_clients = true;
	return count;
}

static void reckon(struct share *share, const struct config *config, const uint32_t *slots)
{
	uint32_t permanent = 0, rest, reserve;
	bool has_clients;

	for (unsigned i = 0; i < config->n_routes; i++) {
		if (!config->routes[i].enabled)
			continue;
		permanent += count_permanent(&config->routes[i], &has_clients);
		share->n_routes += has_clients;
	}
	if (permanent >= share->places && share->n_routes)
		log_warning(
			"%u feeds and dials occupy all %u places for sessions: raise daemon.max_sessions, or %s",
			permanent, share->places, limit_remedy());
	rest = share->places > permanent ? share->places - permanent : 0;
	reserve = share->n_routes ? rest / (2 * share->n_routes) : 0;
	if (reserve > SHARE_RESERVE_MAX)
		reserve = SHARE_RESERVE_MAX;
	assert(share->n_routes * reserve <= rest);
	share->common = rest - share->n_routes * reserve;
	share->alpha = share->n_routes == 1 ? UINT32_MAX : reserve ? SHARE_ALPHA : 1;
	for (unsigned i = 0; i < config->n_routes; i++)
		if (config->routes[i].enabled &&
		    (count_permanent(&config->routes[i], &has_clients), has_clients))
			share->routes[slots[i]].reserve = reserve;
}

/* A permanent session's place is its own. */
static bool is_permanent(const struct ledger_session *record, const struct generation *generation)
{
	return record->front == FRONT_DIALED ||
	       (record->front == FRONT_FED &&
		is_feed(&generation->config->routes[record->route].listen[record->endpoint]));
}

static uint32_t take(struct share *share, uint32_t route, uint32_t *common_before)
{
	uint32_t before = atomic_fetch_add(&share->routes[route].held, 1);

	assert(route < LEDGER_ROUTES_MAX);
	*common_before = before < share->routes[route].reserve
				 ? 0
				 : atomic_fetch_add(&share->common_held, 1);
	return before;
}

static void give(struct share *share, uint32_t route)
{
	assert(route < LEDGER_ROUTES_MAX);
	assert_costly(share->routes[route].held > 0);
	if (atomic_fetch_sub(&share->routes[route].held, 1) > share->routes[route].reserve)
		atomic_fetch_sub(&share->common_held, 1);
}

int share_new(struct share **ret, struct ledger *ledger, struct generation *generations)
{
	struct share *share = calloc(1, sizeof *share);
	uint32_t ignored;

	*ret = share;
	if (!share)
		return -ENOMEM;
	share->routes =
		mmap(NULL, LEDGER_ROUTES_MAX * sizeof *share->routes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (share->routes == MAP_FAILED)
		return -ENOMEM;
	share->places = count_places(ledger, generations->config);
	share->by_descriptors = share->places < ledger->n_sessions;
	ledger->keeper->places = share->places;
	reckon(share, generations->config, generations->route_slots);
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++) {
		const struct ledger_session *record = &ledger->sessions[i];
		const struct generation *generation =
			generation_find(generations, record->generation);

		if (record->state != SESSION_FREE && generation &&
		    !is_permanent(record, generation))
			take(share, generation->route_slots[record->route], &ignored);
	}
	return 0;
}

/* 0, or the limit that the route is at. */
static int take_share(struct share *share, uint32_t route)
{
	uint32_t common_before, reserve = share->routes[route].reserve,
				before = take(share, route, &common_before);
	int why = 0;

	if (before < reserve)
		return 0;
	if (common_before >= share->common)
		why = share->by_descriptors ? PAUSE_DESCRIPTORS : PAUSE_SESSIONS;
	else if (before - reserve >= (uint64_t)share->alpha * (share->common - common_before))
		why = PAUSE_SHARE;
	if (why)
		give(share, route);
	return why;
}

static int take_place(struct thread *thread, uint32_t route, uint32_t limit, struct session **ret)
{
	struct worker *worker = thread->worker;
	_Atomic uint32_t *active = &worker->ledger->routes[route].active;
	int why = 0;

	assert(route < LEDGER_ROUTES_MAX);
	if (atomic_fetch_add(active, 1) >= limit && limit)
		why = PAUSE_LIMIT;
	else
		why = take_share(worker->share, route);
	if (!why) {
		*ret = slot_claim(thread);
		if (*ret)
			return 0;
		give(worker->share, route);
		why = PAUSE_SESSIONS;
	}
	atomic_fetch_sub(active, 1);
	return why;
}

int share_claim(struct thread *thread, uint32_t route, uint32_t limit, struct session **ret)
{
	int why = take_place(thread, route, limit, ret);

	if (why)
		slot_note_limit(thread, route, (uint32_t)why);
	else
		(*ret)->share = route + 1;
	return why;
}

struct session *share_claim_permanent(struct thread *thread, uint32_t route)
{
	struct session *session = slot_claim(thread);

	assert(route < LEDGER_ROUTES_MAX);
	if (session)
		atomic_fetch_add(&thread->worker->ledger->routes[route].active, 1);
	return session;
}

void share_adopt(struct session *session)
{
	const struct ledger_session *record = session_record(session);

	assert(!session->share);
	if (is_permanent(record, session->generation))
		return;
	session->share = session->generation->route_slots[record->route] + 1;
}

void share_release(struct session *session)
{
	assert(thread_is_self(session->thread));
	if (session->queued)
		return;
	if (session->share)
		give(session->thread->worker->share, session->share - 1);
	session->share = 0;
	slot_release(session);
}

void share_abandon(struct session *session, uint32_t route)
{
	assert(session_record(session)->state == SESSION_CLAIMED && !session->queued);
	atomic_fetch_sub(&session->thread->worker->ledger->routes[route].active, 1);
	share_release(session);
}
