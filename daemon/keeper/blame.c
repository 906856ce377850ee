/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blame. It runs in the keeper, between the death of a worker and the start of its heir, when no
 * other process writes. */
#include "keeper/blame.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/validate.h"
#include "net/callback.h"
#include "session/session.h"

#include <stdio.h>
#include <string.h>

enum {
	DEATHS_FORGIVEN = 1,
	DEATHS_LISTENER_SKIPS = 2,
	DEATHS_PAUSE = 3,
	QUIET_SECONDS = 300, /* a route without deaths for this long resets its count */
};

/* State of the keeper outside the ledger. */
struct blame {
	struct ledger *ledger;
	struct generation *newest;
	const struct families *families;
	bool hung;
};

/* What a thread died of. */
struct culprit {
	const char *family; /* "": no family's code ran */
	uint32_t callback;
};

static struct culprit culprit_of(const struct blame *blame, const struct ledger_thread *thread)
{
	const struct family *family =
		family_numbered(blame->families, thread->callback >> CALLBACK_BITS);
	uint32_t callback = thread->callback & ((1 << CALLBACK_BITS) - 1);

	return family && callback && callback < CALLBACK_COUNT
		       ? (struct culprit){family->name, callback}
		       : (struct culprit){"", CALLBACK_NONE};
}

/* Where a record's route is counted; NULL where its generation is gone. */
static struct ledger_route *route_of(const struct blame *blame, uint32_t number, uint32_t route)
{
	const struct generation *generation = generation_find(blame->newest, number);

	if (!generation || route >= generation->config->n_routes)
		return NULL;
	return &blame->ledger->routes[generation->route_slots[route]];
}

static bool is_open(const struct ledger_listener *record)
{
	return record->state == LISTENER_OPEN || record->state == LISTENER_LEAVING;
}

static bool is_alive(const struct ledger_session *record)
{
	return record->state == SESSION_CONNECTING || record->state == SESSION_RELAYING;
}

/* ---- the route ---- */

static void pause_listeners(const struct blame *blame, const struct ledger_route *route)
{
	for (uint32_t i = 0; i < ledger_listeners_high(blame->ledger); i++) {
		struct ledger_listener *record = &blame->ledger->listeners[i];

		if (is_open(record) && route_of(blame, record->generation, record->route) == route)
			record->paused = PAUSE_DEATHS;
	}
}

static void end_sessions(const struct blame *blame, const struct ledger_route *route)
{
	for (uint32_t i = 0; i < ledger_sessions_high(blame->ledger); i++) {
		struct ledger_session *record = &blame->ledger->sessions[i];

		if (is_alive(record) && route_of(blame, record->generation, record->route) == route)
			record->kill = END_POISON;
	}
}

/* "family crashy, encode()", or that it was none. */
static const char *culprit_text(const struct ledger_route *route, char *text, size_t size)
{
	if (route->callback)
		snprintf(text, size, "family %s, %s()", route->family,
			 callback_name(route->callback));
	else
		snprintf(text, size, "not in a callback of a family");
	return text;
}

static void stop_route(const struct blame *blame, struct ledger_route *route)
{
	char text[96];

	culprit_text(route, text, sizeof text);
	switch ((enum ledger_route_pause)route->paused) {
	case ROUTE_RUNS:
		route->paused = ROUTE_PAUSED;
		pause_listeners(blame, route);
		log_error(
			"route %s: %s: in hand when %u workers died: the route is paused until a reload",
			route->name, text, route->deaths);
		return;
	case ROUTE_PAUSED:
		route->paused = ROUTE_BARRED;
		log_error(
			"route %s: %s: in hand again: its sessions that need a callback are ended",
			route->name, text);
		return;
	case ROUTE_BARRED:
	case ROUTE_CLOSED:
		route->paused = ROUTE_CLOSED;
		end_sessions(blame, route);
		log_error("route %s: %s: in hand again: its sessions are ended", route->name, text);
		return;
	}
}

static void blame_route(const struct blame *blame, struct ledger_route *route,
			const struct culprit *culprit)
{
	uint64_t now = clock_monotonic();
	char text[96];

	if (!route->paused && now - route->died > QUIET_SECONDS * NSEC_PER_SEC)
		route->deaths = 0;
	route->died = now;
	route->deaths++;
	route->deaths_total++;
	/* What is barred stays barred. */
	if (route->paused != ROUTE_PAUSED) {
		route->callback = culprit->callback;
		route->hung = blame->hung;
		snprintf(route->family, sizeof route->family, "%s", culprit->family);
	}
	if (route->deaths >= DEATHS_PAUSE)
		stop_route(blame, route);
	else
		log_error("route %s: %s: in hand when a worker died (%u)", route->name,
			  culprit_text(route, text, sizeof text), route->deaths);
}

/* ---- what was in hand ---- */

static struct ledger_route *blame_session(const struct blame *blame, uint32_t slot,
					  const struct culprit *culprit)
{
	struct ledger_session *record = &blame->ledger->sessions[slot];
	struct ledger_route *route = NULL;

	if (record->state >= SESSION_CONNECTING)
		route = route_of(blame, record->generation, record->route);
	if (!route)
		return NULL;
	blame_route(blame, route, culprit);
	if (!is_alive(record) || (++record->deaths <= DEATHS_FORGIVEN && !route->paused))
		return route;
	log_error("session %u.%u of route %s was in hand when %u workers died: it is reset", slot,
		  record->serial, route->name, record->deaths);
	record->kill = END_POISON;
	return route;
}

static struct ledger_route *blame_listener(const struct blame *blame, uint32_t index,
					   const struct culprit *culprit)
{
	struct ledger_listener *record = &blame->ledger->listeners[index];
	struct ledger_route *route =
		is_open(record) ? route_of(blame, record->generation, record->route) : NULL;

	if (!route)
		return NULL;
	if (++record->deaths == DEATHS_LISTENER_SKIPS)
		record->skip = 1;
	blame_route(blame, route, culprit);
	return route;
}

static struct ledger_route *blame_index(const struct blame *blame, enum ledger_hand hand,
					uint32_t index, const struct culprit *culprit)
{
	switch (hand) {
	case HAND_EMPTY:
		return NULL;
	case HAND_SESSION:
		return index < blame->ledger->n_sessions ? blame_session(blame, index, culprit)
							 : NULL;
	case HAND_LISTENER:
		return index < LEDGER_LISTENERS_MAX ? blame_listener(blame, index, culprit) : NULL;
	case HAND_ROUTE:
		if (index >= LEDGER_ROUTES_MAX || !blame->ledger->routes[index].used)
			return NULL;
		blame_route(blame, &blame->ledger->routes[index], culprit);
		return &blame->ledger->routes[index];
	}
	return NULL;
}

static bool blame_thread(const struct blame *blame, struct ledger_thread *thread)
{
	struct culprit culprit = culprit_of(blame, thread);
	uint64_t hand = thread->hand;
	bool found = blame_index(blame, (enum ledger_hand)(hand >> 32), (uint32_t)hand, &culprit) !=
		     NULL;

	if (!found && culprit.callback)
		log_error("family %s, %s(): was running for no route when the worker died",
			  culprit.family, callback_name(culprit.callback));
	thread->crashed = CRASH_BLAMED;
	return found;
}

/* It died before it had threads, of a record that it adopted; and with it all would die again. A
 * session is given up at once. */
static bool blame_adoption(const struct blame *blame)
{
	struct ledger_keeper *keeper = blame->ledger->keeper;
	struct ledger_thread thread = {.callback = keeper->adoption.callback};
	struct culprit culprit = culprit_of(blame, &thread);
	uint32_t index = (uint32_t)keeper->adoption.hand;

	switch ((enum ledger_hand)(keeper->adoption.hand >> 32)) {
	case HAND_SESSION:
		if (index >= ledger_sessions_high(blame->ledger))
			return false;
		log_error(
			"session %u.%u was in hand when a worker died during adoption: it is reset",
			index, blame->ledger->sessions[index].serial);
		validate_drop(blame->ledger, index);
		return true;
	case HAND_LISTENER:
		return index < ledger_listeners_high(blame->ledger) &&
		       blame_listener(blame, index, &culprit);
	case HAND_EMPTY:
	case HAND_ROUTE:
		return false;
	}
	return false;
}

bool blame_hands(struct ledger *ledger, struct generation *newest, const struct families *families,
		 bool hung)
{
	const struct blame blame = {ledger, newest, families, hung};
	bool known = false, found = false;

	if (ledger->keeper->worker_state == WORKER_SWEEPING && blame_adoption(&blame))
		return true;
	for (uint32_t i = 0; i <= ledger->n_threads; i++)
		known |= ledger->threads[i].crashed != 0;
	/* _exit(2), and a signal that is not caught, do not show which thread it was: assume one
	 * that ran a family's code. */
	for (uint32_t i = 0; i <= ledger->n_threads; i++) {
		struct ledger_thread *thread = &ledger->threads[i];

		if (known ? thread->crashed && thread->crashed != CRASH_BLAMED
			  : thread->callback != 0)
			found |= blame_thread(&blame, thread);
	}
	return found;
}

/* ---- reload ---- */

/* Whether the route is the same in the previous configuration. */
static bool is_unchanged(const struct generation *newest, const struct config_route *route)
{
	const struct config *before = newest->next ? newest->next->config : NULL;

	for (unsigned i = 0; before && i < before->n_routes; i++)
		if (!strcmp(before->routes[i].name, route->name))
			return before->routes[i].digest == route->digest;
	return false;
}

void blame_forgive(struct ledger *ledger, struct generation *newest, bool asked)
{
	for (unsigned i = 0; i < newest->config->n_routes; i++) {
		struct ledger_route *route = &ledger->routes[newest->route_slots[i]];

		if (!asked && is_unchanged(newest, &newest->config->routes[i]))
			continue;
		if (route->paused)
			log_notice("route %s is no longer paused", route->name);
		route->paused = ROUTE_RUNS;
		route->deaths = 0;
	}
}

void blame_pause(struct ledger *ledger, struct generation *newest)
{
	const struct blame blame = {.ledger = ledger, .newest = newest};

	for (unsigned i = 0; i < newest->config->n_routes; i++)
		if (ledger->routes[newest->route_slots[i]].paused)
			pause_listeners(&blame, &ledger->routes[newest->route_slots[i]]);
}

bool blame_is_pausing(const struct ledger *ledger, const struct generation *generation)
{
	for (unsigned i = 0; i < generation->config->n_routes; i++)
		if (ledger->routes[generation->route_slots[i]].paused)
			return true;
	return false;
}
