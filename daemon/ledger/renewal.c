/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Renewal. It owns a map for each route that has sessions, made when the first of them asks. Equal
 * endpoints in one list are matched in order. Always true: a record whose generation is the one of
 * the note in the ledger agrees with the note, or is made to by the process that finds it; any
 * other has not been touched.
 */
#include "ledger/renewal.h"

#include "base/index.h"
#include "config/config.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"

#include <spliced/plugin.h>

#include <stdlib.h>
#include <string.h>

enum { NOWHERE = UINT32_MAX };

struct map {
	uint32_t route;		  /* in the newest generation, or NOWHERE */
	uint32_t *dial, *targets; /* NULL: not asked for yet */
};

struct earlier {
	const struct generation *generation;
	struct map *routes; /* NULL: not asked for yet */
};

struct renewal {
	const struct generation *newest;
	struct index names; /* of the newest's routes */
	struct earlier *earlier;
	unsigned n_earlier;
};

static int index_names(struct renewal *renewal)
{
	const struct config *config = renewal->newest->config;
	int r = 0;

	for (uint32_t i = 0; i < config->n_routes && !r; i++)
		r = index_add(&renewal->names, index_hash_text(config->routes[i].name, 0), i);
	return r;
}

struct renewal *renewal_new(const struct generation *newest)
{
	struct renewal *renewal = calloc(1, sizeof *renewal);

	if (!renewal)
		return NULL;
	renewal->newest = newest;
	for (const struct generation *g = newest->next; g; g = g->next)
		renewal->n_earlier++;
	renewal->earlier = calloc(renewal->n_earlier + 1, sizeof *renewal->earlier);
	if (!renewal->earlier || (renewal->n_earlier && index_names(renewal) < 0))
		return renewal_free(renewal);
	renewal->n_earlier = 0;
	for (const struct generation *g = newest->next; g; g = g->next)
		renewal->earlier[renewal->n_earlier++].generation = g;
	return renewal;
}

struct renewal *renewal_free(struct renewal *renewal)
{
	if (!renewal)
		return NULL;
	for (unsigned i = 0; renewal->earlier && i < renewal->n_earlier; i++) {
		struct earlier *earlier = &renewal->earlier[i];

		for (unsigned k = 0; earlier->routes && k < earlier->generation->config->n_routes;
		     k++) {
			free(earlier->routes[k].dial);
			free(earlier->routes[k].targets);
		}
		free(earlier->routes);
	}
	index_done(&renewal->names);
	free(renewal->earlier);
	free(renewal);
	return NULL;
}

static uint32_t find_name(const struct renewal *renewal, const char *name)
{
	uint64_t hash = index_hash_text(name, 0);
	uint32_t number;

	for (size_t at = 0; index_next(&renewal->names, hash, &at, &number);)
		if (!strcmp(renewal->newest->config->routes[number].name, name))
			return number;
	return NOWHERE;
}

/* A route that is there under its name, enabled, and means the same but for its endpoints. */
static uint32_t find_route(const struct renewal *renewal, const struct config_route *route)
{
	uint32_t number = find_name(renewal, route->name);
	const struct config_route *now =
		number == NOWHERE ? NULL : &renewal->newest->config->routes[number];

	return now && now->enabled && now->own_digest == route->own_digest ? number : NOWHERE;
}

static struct map *map_routes(const struct renewal *renewal, const struct config *config)
{
	struct map *routes = calloc(config->n_routes + 1, sizeof *routes);

	for (unsigned i = 0; routes && i < config->n_routes; i++)
		routes[i].route = find_route(renewal, &config->routes[i]);
	return routes;
}

static struct map *map_of(struct renewal *renewal, const struct ledger_session *record)
{
	for (unsigned i = 0; i < renewal->n_earlier; i++) {
		struct earlier *earlier = &renewal->earlier[i];

		if (earlier->generation->number != record->generation)
			continue;
		if (!earlier->routes)
			earlier->routes = map_routes(renewal, earlier->generation->config);
		return earlier->routes ? &earlier->routes[record->route] : NULL;
	}
	return NULL;
}

/* Each of the one list to one of the other. NULL without memory. */
static uint32_t *map_endpoints(const struct config_endpoint *from, uint32_t n_from,
			       const struct config_endpoint *to, uint32_t n_to)
{
	uint32_t *map = calloc(n_from + 1, sizeof *map);
	struct index index = {0};
	int r = 0;

	/* From the last to the first, so that of those that are equal the first is found first. */
	for (uint32_t i = n_to; map && i-- > 0 && !r;)
		r = index_add(&index, to[i].digest, i);
	for (uint32_t i = 0; map && i < n_from && !r; i++) {
		uint32_t first = NOWHERE, number;

		for (size_t at = 0; index_next(&index, from[i].digest, &at, &number);)
			first = number < first ? number : first;
		map[i] = first;
		if (first != NOWHERE)
			index_remove(&index, from[i].digest, first);
	}
	index_done(&index);
	if (r < 0) {
		free(map);
		return NULL;
	}
	return map;
}

static uint32_t find_target(struct map *map, const struct config_route *own,
			    const struct config_route *now, uint32_t target)
{
	if (!map->targets)
		map->targets =
			map_endpoints(own->targets, own->n_targets, now->targets, now->n_targets);
	return map->targets ? map->targets[target] : NOWHERE;
}

/* A fed session depends on its listener, which has its place already. */
static uint32_t find_listen(const struct renewal *renewal, const struct ledger *ledger,
			    const struct ledger_session *record, const struct config_route *own,
			    const struct map *map)
{
	const struct ledger_listener *listener = &ledger->listeners[record->listener];
	const struct config_route *now = &renewal->newest->config->routes[map->route];

	if (listener->state != LISTENER_OPEN || listener->generation != renewal->newest->number ||
	    listener->route != map->route ||
	    now->listen[listener->endpoint].digest != own->listen[record->endpoint].digest)
		return NOWHERE;
	return listener->endpoint;
}

static uint32_t find_front(const struct renewal *renewal, const struct ledger *ledger,
			   const struct ledger_session *record, const struct config_route *own,
			   struct map *map)
{
	const struct config_route *now = &renewal->newest->config->routes[map->route];

	if (record->front == FRONT_FED)
		return find_listen(renewal, ledger, record, own, map);
	if (!map->dial)
		map->dial = map_endpoints(own->dial, own->n_dial, now->dial, now->n_dial);
	return map->dial ? map->dial[record->endpoint] : NOWHERE;
}

/* The generation first: from then on the note is valid. */
static void write_record(struct ledger *ledger, struct ledger_session *record)
{
	record->generation = ledger->keeper->renewal.generation;
	atomic_signal_fence(memory_order_seq_cst);
	record->route = ledger->keeper->renewal.route;
	record->endpoint = ledger->keeper->renewal.endpoint;
	record->target = ledger->keeper->renewal.target;
	atomic_store(&ledger->keeper->renewal.slot, 0);
}

void renewal_finish(struct ledger *ledger)
{
	uint32_t slot = atomic_load(&ledger->keeper->renewal.slot);

	if (slot && slot <= ledger->n_sessions &&
	    ledger->sessions[slot - 1].generation == ledger->keeper->renewal.generation)
		write_record(ledger, &ledger->sessions[slot - 1]);
	ledger->keeper->renewal.slot = 0;
}

/* Whether what waits for the one target is framed as the other wants it. */
static bool frames_alike(const struct config_endpoint *one, const struct config_endpoint *other)
{
	return one->framing == other->framing &&
	       !((one->legs[0].row->capabilities ^ other->legs[0].row->capabilities) &
		 SPLICED_BOUNDARIES);
}

/* In place of one that is not there any more. */
static uint32_t take_another(struct ledger_session *record, const struct config_endpoint *before,
			     const struct config_endpoint *now)
{
	record->retargeted = record->direction[0].pipe >= 0 && !frames_alike(before, now);
	record->connect_leg = 0; /* it may have fewer */
	return 0;
}

bool renewal_take(struct renewal *renewal, struct ledger *ledger, uint32_t slot)
{
	struct ledger_session *record = &ledger->sessions[slot];
	struct map *map = map_of(renewal, record);
	const struct generation *generation;
	const struct config_route *own;
	uint32_t front, target;

	if (!map || map->route == NOWHERE)
		return false;
	generation = renewal->newest->next;
	while (generation->number != record->generation)
		generation = generation->next;
	own = &generation->config->routes[record->route];
	front = find_front(renewal, ledger, record, own, map);
	target =
		find_target(map, own, &renewal->newest->config->routes[map->route], record->target);
	/* While it has none, it takes another. */
	if (target == NOWHERE && record->state == SESSION_CONNECTING && record->fd[1] < 0)
		target = take_another(record, &own->targets[record->target],
				      &renewal->newest->config->routes[map->route].targets[0]);
	if (front == NOWHERE || target == NOWHERE)
		return false;
	ledger->keeper->renewal.generation = renewal->newest->number;
	ledger->keeper->renewal.route = map->route;
	ledger->keeper->renewal.endpoint = front;
	ledger->keeper->renewal.target = target;
	atomic_store(&ledger->keeper->renewal.slot, slot + 1);
	write_record(ledger, record);
	return true;
}
