/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A place belongs to a name until the program ends, so that a plugin that is loaded again, also by
 * a child that only checks a configuration, finds its counts. There is no table before the first
 * counter.
 */
#include "net/plugin_count.h"

#include "net/family.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { PLACE_FREE, PLACE_CLAIMED, PLACE_NAMED };

static struct place {
	_Atomic uint32_t state;
	char family[FAMILY_NAME_MAX], name[FAMILY_NAME_MAX];
	_Atomic uint64_t count;
} * places;

static struct place *find_place(const char *family, const char *name)
{
	for (struct place *place = places; place < places + PLUGIN_COUNTS_MAX; place++) {
		uint32_t state = PLACE_FREE;

		if (atomic_load(&place->state) == PLACE_NAMED && !strcmp(place->family, family) &&
		    !strcmp(place->name, name))
			return place;
		if (!atomic_compare_exchange_strong(&place->state, &state, PLACE_CLAIMED))
			continue;
		snprintf(place->family, sizeof place->family, "%s", family);
		snprintf(place->name, sizeof place->name, "%s", name);
		atomic_store(&place->state, PLACE_NAMED);
		return place;
	}
	return NULL;
}

void plugin_count_open(struct family *family)
{
	void *memory;

	if (!family->plugin.n_counters)
		return;
	if (!places) {
		memory = mmap(NULL, PLUGIN_COUNTS_MAX * sizeof *places, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			return;
		places = memory;
	}
	for (uint32_t i = 0; i < family->plugin.n_counters; i++) {
		struct place *place = find_place(family->name, family->counters[i].name);

		family->counts[i] = place ? &place->count : NULL;
	}
}

void plugin_count(const struct family *family, uint32_t counter, uint64_t more)
{
	if (counter < family->plugin.n_counters && family->counts[counter])
		atomic_fetch_add_explicit(family->counts[counter], more, memory_order_relaxed);
}

bool plugin_count_next(unsigned *place, const char **family, const char **name, uint64_t *count)
{
	for (; places && *place < PLUGIN_COUNTS_MAX; (*place)++) {
		if (atomic_load(&places[*place].state) != PLACE_NAMED)
			continue;
		*family = places[*place].family;
		*name = places[*place].name;
		*count = places[(*place)++].count;
		return true;
	}
	return false;
}
