/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Generations. They form a list, newest first, that the keeper owns and workers inherit; it changes
 * only while no worker runs, or by generations that no worker knows yet.
 */
#include "ledger/generation.h"

#include "base/assert.h"
#include "base/report.h"
#include "config/config.h"
#include "ledger/ledger.h"
#include "ledger/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int find_target(struct ledger *ledger, const char *route, const char *kind, const char *name)
{
	char *whole;
	int r;

	if (asprintf(&whole, "%s/%s%s", route, kind, name) < 0)
		return -ENOMEM;
	r = ledger_target_slot(ledger, whole);
	free(whole);
	return r;
}

static int find_slots(struct generation *generation, struct ledger *ledger)
{
	const struct config *config = generation->config;
	int r;

	generation->route_slots = calloc(config->n_routes + 1, sizeof *generation->route_slots);
	generation->target_slots = calloc(config->n_routes + 1, sizeof *generation->target_slots);
	if (!generation->route_slots || !generation->target_slots)
		return -ENOMEM;
	for (unsigned i = 0; i < config->n_routes; i++) {
		const struct config_route *route = &config->routes[i];

		r = ledger_route_slot(ledger, route->name);
		if (r < 0)
			return r;
		generation->route_slots[i] = (uint32_t)r;
		generation->target_slots[i] =
			calloc(route->n_targets + route->n_dial + 1, sizeof(uint32_t));
		if (!generation->target_slots[i])
			return -ENOMEM;
		for (unsigned k = 0; k < route->n_targets + route->n_dial; k++) {
			const struct config_endpoint *endpoint =
				k < route->n_targets ? &route->targets[k]
						     : &route->dial[k - route->n_targets];

			r = find_target(ledger, route->name, k < route->n_targets ? "" : "dial ",
					endpoint->name);
			if (r < 0)
				return r;
			generation->target_slots[i][k] = (uint32_t)r;
			ledger->targets[r].route = generation->route_slots[i] + 1;
		}
	}
	return 0;
}

static bool has_units(const struct config_route *route)
{
	for (unsigned k = 0; k < route->n_targets; k++)
		if (route->targets[k].unit)
			return true;
	return false;
}

static int find_units(struct generation *generation, struct ledger *ledger)
{
	const struct config *config = generation->config;

	generation->unit_slots = calloc(config->n_routes + 1, sizeof *generation->unit_slots);
	if (!generation->unit_slots)
		return -ENOMEM;
	for (unsigned i = 0; i < config->n_routes; i++) {
		const struct config_route *route = &config->routes[i];

		if (!has_units(route))
			continue;
		generation->unit_slots[i] = calloc(route->n_targets, sizeof(uint32_t));
		if (!generation->unit_slots[i])
			return -ENOMEM;
		for (unsigned k = 0; k < route->n_targets; k++) {
			int r = route->targets[k].unit
					? ledger_unit_slot(ledger, route->targets[k].unit)
					: -1;

			if (r == -ENOSPC)
				return r;
			generation->unit_slots[i][k] = (uint32_t)(r + 1);
		}
	}
	return 0;
}

int generation_read(struct generation **ret, uint32_t number, int fd, struct families *families,
		    struct report *report)
{
	struct generation *generation = calloc(1, sizeof *generation);
	int r;

	assert(number > 0 && fd >= 0);
	if (!generation) {
		close(fd);
		return -ENOMEM;
	}
	generation->number = number;
	generation->fd = fd;
	r = config_read_generation(fd, families, &generation->config, report);
	if (r < 0)
		generation_free(generation, NULL);
	else
		*ret = generation;
	return r;
}

int generation_enter(struct generation *generation, struct ledger *ledger, struct report *report)
{
	int r = find_slots(generation, ledger), units = 0;

	assert(generation->config);
	if (!r)
		r = units = find_units(generation, ledger);
	if (units == -ENOSPC)
		report_add(report, "more than %d systemd units; name fewer units",
			   (int)LEDGER_UNITS_MAX);
	else if (r == -ENOSPC)
		report_add(
			report,
			"no room for %u routes and their targets besides those of earlier configurations still in use; wait "
			"until some of their sessions have ended",
			generation->config->n_routes);
	return r < 0 ? r : ledger_note_generation(ledger, generation->number, generation->fd);
}

int generation_new(struct generation **ret, uint32_t number, int fd, struct families *families,
		   struct ledger *ledger, struct report *report)
{
	struct generation *generation;
	int r = generation_read(&generation, number, fd, families, report);

	if (r < 0)
		return r;
	r = generation_enter(generation, ledger, report);
	if (r < 0)
		generation_free(generation, ledger);
	else
		*ret = generation;
	return r;
}

struct generation *generation_free(struct generation *generation, struct ledger *ledger)
{
	if (!generation)
		return NULL;
	for (unsigned i = 0;
	     generation->config && generation->target_slots && i < generation->config->n_routes;
	     i++)
		free(generation->target_slots[i]);
	for (unsigned i = 0;
	     generation->config && generation->unit_slots && i < generation->config->n_routes; i++)
		free(generation->unit_slots[i]);
	free(generation->unit_slots);
	free(generation->target_slots);
	free(generation->route_slots);
	config_free(generation->config);
	if (ledger)
		ledger_forget_generation(ledger, generation->number);
	close(generation->fd);
	free(generation);
	return NULL;
}

struct generation *generation_find(struct generation *newest, uint32_t number)
{
	while (newest && newest->number != number)
		newest = newest->next;
	return newest;
}

const struct config_route *generation_route(struct generation *newest, uint32_t number,
					    uint32_t route)
{
	const struct generation *generation = generation_find(newest, number);

	return generation && route < generation->config->n_routes
		       ? &generation->config->routes[route]
		       : NULL;
}

/* Read once: between a look and its use it may become another. */
static uint32_t read_word(const uint32_t *word)
{
	return *(const volatile uint32_t *)word;
}

static const struct config_leg *leg_at(const struct config_endpoint *endpoint,
				       const uint16_t *place)
{
	uint16_t leg = *(const volatile uint16_t *)place;

	return endpoint && leg < endpoint->n_legs ? &endpoint->legs[leg] : NULL;
}

static const struct config_endpoint *endpoint_at(const struct config_endpoint *endpoints,
						 unsigned count, const uint32_t *place)
{
	uint32_t number = read_word(place);

	return number < count ? &endpoints[number] : NULL;
}

const struct config_endpoint *generation_listens(struct generation *newest,
						 const struct ledger_listener *record)
{
	/* A free record still names a generation that may have been refused, and whose number
	 * may have been reused. */
	const struct config_route *route =
		record->state == LISTENER_FREE
			? NULL
			: generation_route(newest, read_word(&record->generation),
					   read_word(&record->route));

	return route ? endpoint_at(route->listen, route->n_listen, &record->endpoint) : NULL;
}

const struct config_leg *generation_listens_by(struct generation *newest,
					       const struct ledger_listener *record)
{
	return leg_at(generation_listens(newest, record), &record->leg);
}

const struct config_endpoint *generation_front(const struct config_route *route,
					       const struct ledger_session *record)
{
	return record->front == FRONT_DIALED
		       ? endpoint_at(route->dial, route->n_dial, &record->endpoint)
		       : endpoint_at(route->listen, route->n_listen, &record->endpoint);
}

const struct config_endpoint *generation_target(const struct config_route *route,
						const struct ledger_session *record)
{
	return endpoint_at(route->targets, route->n_targets, &record->target);
}

const struct config_leg *generation_leg(struct generation *newest,
					const struct ledger_session *record, unsigned side)
{
	const struct config_route *route =
		generation_route(newest, read_word(&record->generation), read_word(&record->route));

	assert(side < 2);
	if (!route)
		return NULL;
	return side ? leg_at(generation_target(route, record), &record->connect_leg)
		    : leg_at(generation_front(route, record), &record->leg);
}

struct ledger_unit *generation_unit(const struct generation *generation,
				    const struct ledger *ledger, uint32_t route, uint32_t target)
{
	const uint32_t *slots = generation->unit_slots ? generation->unit_slots[route] : NULL;

	return slots && slots[target] ? &ledger->units[slots[target] - 1] : NULL;
}

static bool lived_in(const struct ledger *ledger, uint32_t number)
{
	assert(number > 0);
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++)
		if (ledger->sessions[i].state != SESSION_FREE &&
		    ledger->sessions[i].generation == number)
			return true;
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state != LISTENER_FREE &&
		    ledger->listeners[i].generation == number)
			return true;
	return false;
}

static void retain_slots(struct generation *newest, struct ledger *ledger)
{
	static bool routes[LEDGER_ROUTES_MAX], targets[LEDGER_TARGETS_MAX], units[LEDGER_UNITS_MAX];

	memset(routes, 0, sizeof routes);
	memset(targets, 0, sizeof targets);
	memset(units, 0, sizeof units);
	for (const struct generation *g = newest; g; g = g->next)
		for (unsigned i = 0; i < g->config->n_routes; i++) {
			routes[g->route_slots[i]] = true;
			for (unsigned k = 0;
			     k < g->config->routes[i].n_targets + g->config->routes[i].n_dial; k++)
				targets[g->target_slots[i][k]] = true;
			for (unsigned k = 0; k < g->config->routes[i].n_targets; k++) {
				const struct ledger_unit *unit = generation_unit(g, ledger, i, k);

				if (unit)
					units[unit - ledger->units] = true;
			}
		}
	ledger_units_retain(ledger, units);
	ledger_routes_retain(ledger, routes);
	ledger_targets_retain(ledger, targets);
}

void generations_trim(struct generation *newest, struct ledger *ledger)
{
	struct generation **link = &newest->next;

	assert(newest);
	while (*link) {
		struct generation *generation = *link;

		if (lived_in(ledger, generation->number)) {
			link = &generation->next;
			continue;
		}
		*link = generation->next;
		generation_free(generation, ledger);
	}
	retain_slots(newest, ledger);
}
