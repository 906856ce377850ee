/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An index: open addressing, steps of one, at most three quarters full. Always true: between the
 * home place of a hash and its entry no place is free; so a removal moves back the entries behind
 * it.
 */
#include "base/index.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SMALLEST = 16 };

/* A forked child keeps the seed, so that it finds the entries of its parent. */
static uint64_t seed(void)
{
	static uint64_t value;

	/* Without random numbers, early in a boot, the seed is an address, which others do not
	 * know. */
	while (!value)
		if (getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value)
			value = (uint64_t)(uintptr_t)&value | 1;
	return value;
}

void index_done(struct index *index)
{
	free(index->entries);
	*index = (struct index){0};
}

uint64_t index_hash(const void *bytes, size_t len, uint64_t before)
{
	return XXH3_64bits_withSeed(bytes, len, seed() ^ before);
}

uint64_t index_hash_text(const char *text, uint64_t before)
{
	return index_hash(text, strlen(text), before);
}

static void place(struct index *index, struct index_entry entry)
{
	size_t at = entry.hash & (index->size - 1);

	assert(index->count < index->size);
	while (index->entries[at].number)
		at = (at + 1) & (index->size - 1);
	index->entries[at] = entry;
}

static int grow(struct index *index)
{
	struct index larger = {.size = index->size ? index->size * 2 : SMALLEST,
			       .count = index->count};

	larger.entries = calloc(larger.size, sizeof *larger.entries);
	if (!larger.entries)
		return -ENOMEM;
	for (size_t i = 0; i < index->size; i++)
		if (index->entries[i].number)
			place(&larger, index->entries[i]);
	free(index->entries);
	*index = larger;
	return 0;
}

int index_add(struct index *index, uint64_t hash, uint32_t number)
{
	int r = (index->count + 1) * 4 > index->size * 3 ? grow(index) : 0;

	assert(number < UINT32_MAX);
	if (r < 0)
		return r;
	place(index, (struct index_entry){hash, number + 1});
	index->count++;
	return 0;
}

bool index_next(const struct index *index, uint64_t hash, size_t *at, uint32_t *number)
{
	while (index->size && *at < index->size) {
		const struct index_entry *entry =
			&index->entries[(hash + (*at)++) & (index->size - 1)];

		if (!entry->number)
			return false;
		if (entry->hash != hash)
			continue;
		*number = entry->number - 1;
		return true;
	}
	return false;
}

/* Whether the entry at `at` has its home place behind the hole, and so must not move there. */
static bool begins_behind(const struct index *index, size_t own, size_t hole, size_t at)
{
	size_t mask = index->size - 1;

	assert(!(index->size & mask));
	return ((at - own) & mask) < ((at - hole) & mask);
}

void index_remove(struct index *index, uint64_t hash, uint32_t number)
{
	size_t mask = index->size - 1, hole = hash & mask;

	if (!index->size)
		return;
	while (index->entries[hole].number &&
	       (index->entries[hole].hash != hash || index->entries[hole].number != number + 1))
		hole = (hole + 1) & mask;
	if (!index->entries[hole].number)
		return;
	for (size_t at = (hole + 1) & mask; index->entries[at].number; at = (at + 1) & mask) {
		if (begins_behind(index, index->entries[at].hash & mask, hole, at))
			continue;
		index->entries[hole] = index->entries[at];
		hole = at;
	}
	index->entries[hole].number = 0;
	assert(index->count > 0);
	index->count--;
}
