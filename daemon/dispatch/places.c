/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `listed` is written last: of a place that was given away half, the address is found again in the
 * next answer, or the place is free. */
#include "dispatch/places.h"

#include "base/assert.h"
#include "config/config.h"
#include "dispatch/service.h"
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
static void give(struct ledger_target *target, const struct place_found *found)
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
	atomic_store(&target->service, found->service);
	target_set_addresses(target, &found->address, 1);
	atomic_store(&target->listed, 1);
}

static const struct place_found *find(const struct ledger_target *target,
				      const struct place_found *found, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (has(target, &found[i].address))
			return &found[i];
	return NULL;
}

/* Whether that is news. */
static bool set_listed(struct ledger_target *target, const struct place_found *found, bool refused)
{
	bool changed = false;

	if (found)
		changed = atomic_exchange(&target->service, found->service) != found->service;
	changed |= atomic_exchange(&target->refused, refused) != refused;
	changed |= atomic_exchange(&target->listed, found != NULL) != (found != NULL);
	return changed;
}

struct place_found *places_find(struct place_found *found, unsigned n,
				const struct place_found *one)
{
	for (unsigned i = 0; i < n; i++)
		if (!memcmp(&found[i].address, &one->address, sizeof one->address))
			return &found[i];
	return NULL;
}

unsigned places_add(struct place_found *found, unsigned n, const struct place_found *one)
{
	struct place_found *other = places_find(found, n, one);

	if (!other)
		found[n++] = *one;
	else if (service_priority(one->service) < service_priority(other->service))
		other->service = one->service;
	return n;
}

unsigned places_set(struct ledger *ledger, const uint32_t *slots, const struct place_found *found,
		    unsigned n)
{
	unsigned without = 0;
	bool changed = false;

	assert(n <= PLACES_FOUND_MAX);
	for (unsigned i = 0; i < CONFIG_PLACES; i++) {
		struct ledger_target *target = &ledger->targets[slots[i]];

		changed |= set_listed(target, find(target, found, n), false);
	}
	for (unsigned i = 0; i < n; i++) {
		struct ledger_target *target;

		if (find_place(ledger, slots, &found[i].address))
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

void places_refuse(struct ledger *ledger, const uint32_t *slots)
{
	bool changed = false;

	for (unsigned i = 0; i < CONFIG_PLACES; i++)
		changed |= set_listed(&ledger->targets[slots[i]], NULL, true);
	if (changed)
		target_changed(ledger, &ledger->targets[slots[0]]);
}

unsigned places_known(const struct ledger *ledger, const uint32_t *slots, unsigned leg,
		      struct place_found *ret)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CONFIG_PLACES; i++) {
		const struct ledger_target *target = &ledger->targets[slots[i]];

		if (target->listed && target->n_addresses && target->addresses[0].leg == leg)
			ret[n++] = (struct place_found){target->addresses[0], target->service};
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
