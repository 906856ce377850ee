/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `listed` is written last: of a place that was given away half, the address is found again in the
 * next answer, or the place is free. */
#include "dispatch/places.h"

#include "base/assert.h"
#include "config/config.h"
#include "dispatch/target.h"
#include "dispatch/target_check.h"
#include "ledger/generation.h"

#include <string.h>

static bool has(const struct ledger_target *target, const struct ledger_address *address)
{
	return target->n_addresses == 1 && !(target->sequence & 1) &&
	       !memcmp(&target->addresses[0], address, sizeof *address);
}

static struct ledger_target *find_place(struct ledger *ledger, const uint32_t *slots,
					const struct ledger_address *address)
{
	for (unsigned i = 0; i < CONFIG_PLACES; i++)
		if (has(&ledger->targets[slots[i]], address))
			return &ledger->targets[slots[i]];
	return NULL;
}

/* One that was never used, else one whose address is gone, and its sessions, too. */
static struct ledger_target *find_free(struct ledger *ledger, const uint32_t *slots)
{
	for (unsigned i = 0; i < CONFIG_PLACES; i++)
		if (!ledger->targets[slots[i]].n_addresses)
			return &ledger->targets[slots[i]];
	for (unsigned i = 0; i < CONFIG_PLACES; i++)
		if (!ledger->targets[slots[i]].listed && !ledger->targets[slots[i]].active)
			return &ledger->targets[slots[i]];
	return NULL;
}

/* Nothing that is known of another address is valid for this one. */
static void give(struct ledger_target *target, const struct ledger_address *address)
{
	atomic_store(&target->failures, 0);
	atomic_store(&target->error, 0);
	atomic_store(&target->down_until, 0);
	atomic_store(&target->down_since, 0);
	atomic_store(&target->failed_at, 0);
	atomic_store(&target->asked_until, 0);
	atomic_store(&target->up_since, 0);
	atomic_store(&target->downs, 0);
	atomic_store(&target->weight_set, 0);
	atomic_store(&target->hand, 0);
	if (target->check.digest)
		target_check_anew(target, target->check.digest);
	target_set_addresses(target, address, 1);
	atomic_store(&target->listed, 1);
}

static bool is_found(const struct ledger_target *target, const struct ledger_address *found,
		     unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (has(target, &found[i]))
			return true;
	return false;
}

unsigned places_set(struct ledger *ledger, const uint32_t *slots,
		    const struct ledger_address *found, unsigned n)
{
	unsigned without = 0;
	bool changed = false;

	assert(n <= PLACES_FOUND_MAX);
	for (unsigned i = 0; i < CONFIG_PLACES; i++) {
		struct ledger_target *target = &ledger->targets[slots[i]];
		uint32_t listed = is_found(target, found, n);

		changed |= atomic_exchange(&target->listed, listed) != listed;
	}
	for (unsigned i = 0; i < n; i++) {
		struct ledger_target *target;

		if (find_place(ledger, slots, &found[i]))
			continue;
		target = find_free(ledger, slots);
		if (target)
			give(target, &found[i]);
		without += !target;
		changed |= target != NULL;
	}
	if (changed)
		target_changed(ledger, &ledger->targets[slots[0]]);
	return without;
}

unsigned places_known(const struct ledger *ledger, const uint32_t *slots, unsigned leg,
		      struct ledger_address *ret)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CONFIG_PLACES; i++) {
		const struct ledger_target *target = &ledger->targets[slots[i]];

		if (target->listed && target->n_addresses && target->addresses[0].leg == leg)
			ret[n++] = target->addresses[0];
	}
	return n;
}

/* Whether no place of the name has an address. */
static bool is_empty(const struct ledger *ledger, const struct generation *generation,
		     unsigned route, unsigned target)
{
	unsigned first = target + 1 - generation->config->routes[route].targets[target].place;

	for (unsigned i = 0; i < CONFIG_PLACES; i++)
		if (ledger->targets[generation->target_slots[route][first + i]].listed)
			return false;
	return true;
}

bool places_is_left(const struct ledger *ledger, const struct generation *generation,
		    unsigned route, unsigned target)
{
	return generation->config->routes[route].targets[target].place &&
	       !ledger->targets[generation->target_slots[route][target]].listed &&
	       !is_empty(ledger, generation, route, target);
}

bool places_show(const struct ledger *ledger, const struct generation *generation, unsigned route,
		 unsigned target)
{
	const struct config_endpoint *endpoint = &generation->config->routes[route].targets[target];
	const struct ledger_target *record =
		&ledger->targets[generation->target_slots[route][target]];

	return !endpoint->place || record->listed || record->active ||
	       (endpoint->place == 1 && is_empty(ledger, generation, route, target));
}
