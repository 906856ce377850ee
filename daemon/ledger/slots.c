/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Slots of routes and targets. Which name has which is in the ledger; the index of it is this
 * process's own, made when it is first asked for. Always true: no slot before `free` is unused.
 */
#include "ledger/ledger.h"
#include "ledger/original.h"

#include <errno.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t ledger_digest(const char *name)
{
	uint64_t digest = XXH3_64bits(name, strlen(name));

	return digest ? digest : 1;
}

static void raise_high(_Atomic uint32_t *high, uint32_t slot)
{
	if (*high <= slot)
		*high = slot + 1;
}

/* Makes what is known of the tables. 0 or -ENOMEM. */
static int index_slots(struct ledger *ledger)
{
	struct ledger_slots *slots = &ledger->slots;
	int r = 0;

	if (slots->known)
		return 0;
	ledger_forget_slots(ledger);
	for (uint32_t i = 0; i < ledger_routes_high(ledger) && !r; i++)
		if (ledger->routes[i].used)
			r = index_add(&slots->routes, ledger->routes[i].digest, i);
	for (uint32_t i = 0; i < ledger_targets_high(ledger) && !r; i++)
		if (ledger->targets[i].used)
			r = index_add(&slots->targets, ledger->targets[i].digest, i);
	slots->known = !r;
	return r;
}

void ledger_forget_slots(struct ledger *ledger)
{
	index_done(&ledger->slots.routes);
	index_done(&ledger->slots.targets);
	ledger->slots = (struct ledger_slots){0};
}

int ledger_route_slot(struct ledger *ledger, const char *name)
{
	uint64_t digest = ledger_digest(name);
	uint32_t slot = ledger->slots.free_route;
	struct ledger_route *route;
	int r = index_slots(ledger);

	if (r < 0)
		return r;
	if (index_next(&ledger->slots.routes, digest, &(size_t){0}, &slot)) {
		if (ledger->routes[slot].used)
			return (int)slot;
		index_remove(&ledger->slots.routes, digest, slot);
		slot = ledger->slots.free_route;
	}
	while (slot < ledger_routes_high(ledger) && ledger->routes[slot].used)
		slot++;
	ledger->slots.free_route = slot;
	if (slot == LEDGER_ROUTES_MAX)
		return -ENOSPC;
	r = index_add(&ledger->slots.routes, digest, slot);
	if (r < 0)
		return r;
	route = &ledger->routes[slot];
	memset(route, 0, sizeof *route);
	for (uint32_t thread = 0; thread <= ledger->n_threads; thread++)
		memset(ledger_counter(ledger, thread, slot), 0, sizeof(struct ledger_counter));
	route->digest = digest;
	strncpy(route->name, name, LEDGER_NAME_MAX - 1);
	route->used = 1;
	raise_high(&ledger->keeper->routes_high, slot);
	original_note_route(ledger, slot);
	return (int)slot;
}

int ledger_target_slot(struct ledger *ledger, const char *name)
{
	uint64_t digest = ledger_digest(name);
	uint32_t slot = ledger->slots.free_target;
	struct ledger_target *target;
	int r = index_slots(ledger);

	if (r < 0)
		return r;
	if (index_next(&ledger->slots.targets, digest, &(size_t){0}, &slot)) {
		if (ledger->targets[slot].used)
			return (int)slot;
		index_remove(&ledger->slots.targets, digest, slot);
		slot = ledger->slots.free_target;
	}
	while (slot < ledger_targets_high(ledger) && ledger->targets[slot].used)
		slot++;
	ledger->slots.free_target = slot;
	if (slot == LEDGER_TARGETS_MAX)
		return -ENOSPC;
	r = index_add(&ledger->slots.targets, digest, slot);
	if (r < 0)
		return r;
	target = &ledger->targets[slot];
	memset(target, 0, sizeof *target);
	target->digest = digest;
	strncpy(target->name, name, LEDGER_NAME_MAX - 1);
	target->used = 1;
	raise_high(&ledger->keeper->targets_high, slot);
	original_note_target(ledger, slot);
	return (int)slot;
}

void ledger_routes_retain(struct ledger *ledger, const bool *keep)
{
	for (uint32_t i = ledger_routes_high(ledger); i-- > 0;) {
		if (keep[i] || !ledger->routes[i].used)
			continue;
		ledger->routes[i].used = 0;
		original_note_route(ledger, i);
		index_remove(&ledger->slots.routes, ledger->routes[i].digest, i);
		if (i < ledger->slots.free_route)
			ledger->slots.free_route = i;
	}
}

void ledger_targets_retain(struct ledger *ledger, const bool *keep)
{
	for (uint32_t i = ledger_targets_high(ledger); i-- > 0;) {
		if (keep[i] || !ledger->targets[i].used)
			continue;
		ledger->targets[i].used = 0;
		original_note_target(ledger, i);
		index_remove(&ledger->slots.targets, ledger->targets[i].digest, i);
		if (i < ledger->slots.free_target)
			ledger->slots.free_target = i;
	}
}
