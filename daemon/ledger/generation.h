/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A generation: one configuration, from the reload that brought it until its last session ends. Its
 * text lies in a sealed memfd; its config is read from there, by the keeper, before the workers
 * that inherit it are started.
 */
#pragma once

#include <stdint.h>

struct config;
struct config_endpoint;
struct config_leg;
struct config_route;
struct families;
struct ledger;
struct ledger_listener;
struct ledger_session;
struct ledger_unit;
struct report;

struct generation {
	struct generation *next; /* an older one */
	uint32_t number;
	int fd; /* the memfd; recorded as the keeper's own */
	struct config *config;
	uint32_t *route_slots;	 /* [route]: its record in the ledger */
	uint32_t **target_slots; /* [route][target], and behind the targets the route's dials: their
				    records in the ledger */
	uint32_t first_pool;	 /* a worker's: where its routes are among its threads' pools */
	uint32_t **unit_slots;	 /* [route][target]: the record of its unit, plus one; 0: it has
				    none. NULL: no target of the route has */
};

/* Reads the generation in a memfd, which it owns from now on (also on error), and finds places
 * in the ledger for its routes and targets. 0; or negative errno, with the reason in report. */
int generation_new(struct generation **ret, uint32_t number, int fd, struct families *families,
		   struct ledger *ledger, struct report *report);
/* The same in two steps, where the ledger is made in between. On error of the second the generation
 * is still the caller's. */
int generation_read(struct generation **ret, uint32_t number, int fd, struct families *families,
		    struct report *report);
int generation_enter(struct generation *generation, struct ledger *ledger, struct report *report);
/* `ledger` may be NULL for one that was only read. */
struct generation *generation_free(struct generation *generation, struct ledger *ledger);

/* The one with this number, or NULL. */
struct generation *generation_find(struct generation *newest, uint32_t number);

/* A record's place is in shared memory, and may change while it is read: it is checked against
 * the bounds of the generation. NULL if there is no such place, or the generation is gone. */

/* A generation's route, by its number there. */
const struct config_route *generation_route(struct generation *newest, uint32_t number,
					    uint32_t route);

/* The endpoint that a listener is open for, and which of its legs. */
const struct config_endpoint *generation_listens(struct generation *newest,
						 const struct ledger_listener *record);
const struct config_leg *generation_listens_by(struct generation *newest,
					       const struct ledger_listener *record);

/* Where a session comes from, and where it goes to, in its route. */
const struct config_endpoint *generation_front(const struct config_route *route,
					       const struct ledger_session *record);
const struct config_endpoint *generation_target(const struct config_route *route,
						const struct ledger_session *record);

/* What is open at a session's side (0: client, 1: target). */
const struct config_leg *generation_leg(struct generation *newest,
					const struct ledger_session *record, unsigned side);

/* The record of a target's systemd unit; NULL: it has none. */
struct ledger_unit *generation_unit(const struct generation *generation,
				    const struct ledger *ledger, uint32_t route, uint32_t target);

/* Frees the generations that no session lives in, but the newest. */
void generations_trim(struct generation *newest, struct ledger *ledger);
