/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Slots of routes and targets. Which name has which is in the ledger; the index of it is this
 * process's own, made when it is first asked for. Always true: no slot before `free` is unused.
 */
#include "ledger/ledger.h"

#include "base/assert.h"
#include "ledger/original.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t ledger_digest(const char *name)
{
	uint64_t digest = XXH3_64bits(name, strlen(name));

	return digest ? digest : 1;
}

/* What records with names have in common, those of routes and those of targets. */
struct table {
	char *records;
	size_t size, used, digest, name; /* of a record; where these are in it */
	uint32_t max, high;
	_Atomic uint32_t *keeper_high;
	struct index *index;
	uint32_t *free;
	void (*clear)(struct ledger *ledger,
		      uint32_t slot); /* what belongs to it elsewhere, or NULL */
	void (*note)(struct ledger *ledger, uint32_t slot);
};

static void clear_counters(struct ledger *ledger, uint32_t slot)
{
	for (uint32_t thread = 0; thread <= ledger->n_threads; thread++)
		memset(ledger_counter(ledger, thread, slot), 0, sizeof(struct ledger_counter));
}

static struct table routes_of(struct ledger *ledger)
{
	return (struct table){
		.records = (char *)ledger->routes,
		.size = sizeof *ledger->routes,
		.used = offsetof(struct ledger_route, used),
		.digest = offsetof(struct ledger_route, digest),
		.name = offsetof(struct ledger_route, name),
		.max = LEDGER_ROUTES_MAX,
		.high = ledger_routes_high(ledger),
		.keeper_high = &ledger->keeper->routes_high,
		.index = &ledger->slots.routes,
		.free = &ledger->slots.free_route,
		.clear = clear_counters,
		.note = original_note_route,
	};
}

static struct table targets_of(struct ledger *ledger)
{
	return (struct table){
		.records = (char *)ledger->targets,
		.size = sizeof *ledger->targets,
		.used = offsetof(struct ledger_target, used),
		.digest = offsetof(struct ledger_target, digest),
		.name = offsetof(struct ledger_target, name),
		.max = LEDGER_TARGETS_MAX,
		.high = ledger_targets_high(ledger),
		.keeper_high = &ledger->keeper->targets_high,
		.index = &ledger->slots.targets,
		.free = &ledger->slots.free_target,
		.note = original_note_target,
	};
}

static _Atomic uint32_t *used(const struct table *table, uint32_t slot)
{
	return (void *)(table->records + slot * table->size + table->used);
}

static uint64_t *digest_of(const struct table *table, uint32_t slot)
{
	return (void *)(table->records + slot * table->size + table->digest);
}

static char *name_of(const struct table *table, uint32_t slot)
{
	return table->records + slot * table->size + table->name;
}

static int index_records(const struct table *table)
{
	int r = 0;

	for (uint32_t i = 0; i < table->high && !r; i++)
		if (*used(table, i))
			r = index_add(table->index, *digest_of(table, i), i);
	return r;
}

/* Makes what is known of the tables. 0 or -ENOMEM. */
static int index_slots(struct ledger *ledger)
{
	struct table routes = routes_of(ledger), targets = targets_of(ledger);
	int r;

	if (ledger->slots.known)
		return 0;
	ledger_forget_slots(ledger);
	r = index_records(&routes);
	if (!r)
		r = index_records(&targets);
	ledger->slots.known = !r;
	return r;
}

void ledger_forget_slots(struct ledger *ledger)
{
	index_done(&ledger->slots.routes);
	index_done(&ledger->slots.targets);
	ledger->slots = (struct ledger_slots){0};
}

static void write_record(struct ledger *ledger, const struct table *table, uint32_t slot,
			 uint64_t digest, const char *name)
{
	memset(table->records + slot * table->size, 0, table->size);
	if (table->clear)
		table->clear(ledger, slot);
	*digest_of(table, slot) = digest;
	strncpy(name_of(table, slot), name, LEDGER_NAME_MAX - 1);
	*used(table, slot) = 1;
	if (*table->keeper_high <= slot)
		*table->keeper_high = slot + 1;
	table->note(ledger, slot);
}

static int find_slot(struct ledger *ledger, const struct table *table, const char *name)
{
	uint64_t digest = ledger_digest(name);
	uint32_t slot = 0;
	int r = index_slots(ledger);

	if (r < 0)
		return r;
	if (index_next(table->index, digest, &(size_t){0}, &slot)) {
		if (*used(table, slot))
			return (int)slot;
		index_remove(table->index, digest, slot);
	}
	slot = *table->free;
	while (slot < table->high && *used(table, slot))
		slot++;
	*table->free = slot;
	if (slot == table->max)
		return -ENOSPC;
	assert(slot < table->max && digest);
	r = index_add(table->index, digest, slot);
	if (r < 0)
		return r;
	write_record(ledger, table, slot, digest, name);
	return (int)slot;
}

/* -ENOENT: none has this name. */
static int look_up(struct ledger *ledger, const struct table *table, const char *name)
{
	uint32_t slot = 0;
	int r = index_slots(ledger);

	if (r < 0)
		return r;
	if (!index_next(table->index, ledger_digest(name), &(size_t){0}, &slot) ||
	    !*used(table, slot))
		return -ENOENT;
	return (int)slot;
}

int ledger_find_route(struct ledger *ledger, const char *name)
{
	struct table table = routes_of(ledger);

	return look_up(ledger, &table, name);
}

int ledger_find_target(struct ledger *ledger, const char *name)
{
	struct table table = targets_of(ledger);

	return look_up(ledger, &table, name);
}

int ledger_route_slot(struct ledger *ledger, const char *name)
{
	struct table table = routes_of(ledger);

	return find_slot(ledger, &table, name);
}

int ledger_target_slot(struct ledger *ledger, const char *name)
{
	struct table table = targets_of(ledger);

	return find_slot(ledger, &table, name);
}

static void retain(struct ledger *ledger, const struct table *table, const bool *keep)
{
	assert(keep && table->high <= table->max);
	for (uint32_t i = table->high; i-- > 0;) {
		if (keep[i] || !*used(table, i))
			continue;
		*used(table, i) = 0;
		table->note(ledger, i);
		index_remove(table->index, *digest_of(table, i), i);
		if (i < *table->free)
			*table->free = i;
	}
}

void ledger_routes_retain(struct ledger *ledger, const bool *keep)
{
	struct table table = routes_of(ledger);

	retain(ledger, &table, keep);
}

void ledger_targets_retain(struct ledger *ledger, const bool *keep)
{
	struct table table = targets_of(ledger);

	retain(ledger, &table, keep);
}
