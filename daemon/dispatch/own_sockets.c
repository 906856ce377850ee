/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table is an array of sets; a key belongs to one set, and takes the oldest of its places. A
 * writer claims a place by putting OWN_BUSY in place of the key that it saw there, so that two
 * never write one place; a reader looks at key and stamp before and after.
 */
#include "dispatch/own_sockets.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>

enum { OWN_FREE, OWN_BUSY, WAYS = 4, SETS_MIN = 64, SETS_MAX = 4096 };

int own_sockets_init(struct own_sockets *table, uint32_t sessions)
{
	uint32_t sets = SETS_MIN;

	assert((sets & (sets - 1)) == 0);
	while (sets < SETS_MAX && sets * WAYS < sessions)
		sets *= 2;
	*table = (struct own_sockets){.sets_mask = sets - 1};
	table->places = calloc((size_t)sets * WAYS, sizeof *table->places);
	return table->places ? 0 : -ENOMEM;
}

void own_sockets_done(struct own_sockets *table)
{
	free(table->places);
	table->places = NULL;
}

static uint64_t clean(uint64_t key)
{
	return key > OWN_BUSY ? key : key + OWN_BUSY + 1;
}

static struct own_sockets_place *set_of(const struct own_sockets *table, uint64_t key)
{
	assert(key > OWN_BUSY);
	return &table->places[(size_t)(key & table->sets_mask) * WAYS];
}

static struct own_sockets_place *find(const struct own_sockets *table, uint64_t key)
{
	struct own_sockets_place *set = set_of(table, key);

	for (int i = 0; i < WAYS; i++)
		if (atomic_load_explicit(&set[i].key, memory_order_acquire) == key)
			return &set[i];
	return NULL;
}

/* The place to write: the key's own, a free one, or the oldest. */
static struct own_sockets_place *choose(const struct own_sockets *table, uint64_t key, uint32_t now)
{
	struct own_sockets_place *set = set_of(table, key), *best = find(table, key);
	uint32_t age = 0;

	for (int i = 0; !best && i < WAYS; i++)
		if (set[i].key == OWN_FREE)
			best = &set[i];
	for (int i = 0; !best && i < WAYS; i++)
		age = now - set[i].stamp > age ? now - set[i].stamp : age;
	for (int i = 0; !best && i < WAYS; i++)
		if (now - set[i].stamp == age)
			best = &set[i];
	return best;
}

static void write_place(struct own_sockets_place *place, const struct own_socket *socket)
{
	assert(place->key == OWN_BUSY);
	atomic_store_explicit(&place->remote, socket->remote, memory_order_relaxed);
	atomic_store_explicit(&place->front, socket->front, memory_order_relaxed);
	atomic_store_explicit(&place->accepted, socket->accepted, memory_order_relaxed);
	atomic_store_explicit(&place->root, socket->root, memory_order_relaxed);
	atomic_store_explicit(&place->mark, socket->mark, memory_order_relaxed);
	atomic_store_explicit(&place->depth, socket->depth, memory_order_relaxed);
	atomic_store_explicit(&place->route, socket->route, memory_order_relaxed);
	atomic_store_explicit(&place->slot, socket->slot, memory_order_relaxed);
	atomic_store_explicit(&place->serial, socket->serial, memory_order_relaxed);
	atomic_store_explicit(&place->begun, socket->begun, memory_order_relaxed);
	atomic_store_explicit(&place->grouped, socket->grouped, memory_order_relaxed);
}

uint32_t own_sockets_now(const struct own_sockets *table)
{
	return atomic_load(&table->stamp);
}

void own_sockets_add(struct own_sockets *table, uint64_t key, const struct own_socket *socket)
{
	struct own_sockets_place *place;
	uint64_t before;

	key = clean(key);
	place = choose(table, key, own_sockets_now(table));
	before = place ? atomic_load_explicit(&place->key, memory_order_relaxed) : OWN_BUSY;
	if (before == OWN_BUSY || !atomic_compare_exchange_strong(&place->key, &before, OWN_BUSY))
		return;
	write_place(place, socket);
	/* As late as possible: a thread that did not find the key looked before this. */
	atomic_store_explicit(&place->stamp, atomic_fetch_add(&table->stamp, 1),
			      memory_order_relaxed);
	atomic_store_explicit(&place->key, key, memory_order_release);
}

bool own_sockets_find(const struct own_sockets *table, uint64_t key, struct own_socket *ret)
{
	const struct own_sockets_place *place = find(table, clean(key));
	uint32_t stamp;

	if (!place)
		return false;
	stamp = atomic_load_explicit(&place->stamp, memory_order_acquire);
	*ret = (struct own_socket){.remote = place->remote,
				   .front = place->front,
				   .accepted = place->accepted,
				   .root = place->root,
				   .mark = place->mark,
				   .depth = place->depth,
				   .route = place->route,
				   .slot = place->slot,
				   .serial = place->serial,
				   .begun = place->begun,
				   .grouped = place->grouped,
				   .stamp = stamp};
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&place->key, memory_order_relaxed) == clean(key) &&
	       atomic_load_explicit(&place->stamp, memory_order_relaxed) == stamp;
}

void own_sockets_remove(struct own_sockets *table, uint64_t key)
{
	struct own_sockets_place *place = find(table, clean(key));
	uint64_t before = clean(key);

	if (place)
		atomic_compare_exchange_strong(&place->key, &before, OWN_FREE);
}
