/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Places of a name that stands for a pool (config/expand.h): each is a member, a target in the
 * ledger as any other, and has one address of the name, or none. Always true: an address keeps its
 * place, with health, weight and counters, as long as it is in the answers, and beyond, until
 * another needs the place. A place whose address is gone from the newest good answer gets no new
 * session; those that it has go on, and it is given to no other address before they have ended.
 */
#pragma once

#include "ledger/ledger.h"

#include <stdbool.h>
#include <stdint.h>

struct generation;

enum { PLACES_FOUND_MAX = 1024 /* addresses of an answer that are looked at */ };

/* An address of a name; of a service, with its record's priority and weight: service.h. */
struct place_found {
	struct ledger_address address;
	uint32_t service;
};

/* The same address among n; NULL: it is not there. */
struct place_found *places_find(struct place_found *found, unsigned n,
				const struct place_found *one);

/* Adds one to n that were found, with room for it; an address of several records has the lowest of
 * their priorities. Returns how many there are then. */
unsigned places_add(struct place_found *found, unsigned n, const struct place_found *one);

/* The newest good answer: n up to PLACES_FOUND_MAX. slots: of the CONFIG_PLACES places' records. In
 * the clerk. Returns how many addresses find no place. */
unsigned places_set(struct ledger *ledger, const uint32_t *slots, const struct place_found *found,
		    unsigned n);

/* The newest good answer is that the service is not offered. */
void places_refuse(struct ledger *ledger, const uint32_t *slots);

/* Those of the last good answer, of a leg: up to CONFIG_PLACES. Returns how many. */
unsigned places_known(const struct ledger *ledger, const uint32_t *slots, unsigned leg,
		      struct place_found *ret);

/* Whether a target of the route is to be shown: it has an address, or sessions; of places without
 * the first is, if no other of its name has an address. */
bool places_show(const struct ledger *ledger, const struct generation *generation, unsigned route,
		 unsigned target);

/* Whether its sessions go on, but others of its name take the new ones. */
bool places_is_left(const struct ledger *ledger, const struct generation *generation,
		    unsigned route, unsigned target);
