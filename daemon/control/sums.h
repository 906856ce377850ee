/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A route's counters, summed over all threads, and as JSON. Names and meanings: base/counter.h. */
#pragma once

#include "base/counter.h"

#include <jansson.h>
#include <stdint.h>

struct ledger;
struct live;

struct sums {
	uint64_t counters[COUNTERS_COUNT], refused[REFUSED_REASONS], dropped[DROPPED_REASONS];
};

/* Of the route with this record; live: what its open sessions and sockets add, or NULL. */
void sums_of_route(struct sums *ret, const struct ledger *ledger, const struct live *live,
		   uint32_t slot);

/* Adds the counters, and drops by reason (those of 0 are omitted), to a route's object. */
void sums_write(const struct sums *sums, json_t *route);
