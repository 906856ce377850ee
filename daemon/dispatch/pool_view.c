/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members that may be chosen are in members[] from its beginning, those that are down from its
 * end. */
#include "dispatch/pool_view.h"

#include "base/clock.h"
#include "config/config.h"
#include "dispatch/balance_ring.h"
#include "dispatch/dispatch.h"
#include "dispatch/queue.h"
#include "dispatch/target.h"
#include "dispatch/target_check.h"
#include "ledger/generation.h"
#include "session/thread.h"

#include <errno.h>
#include <stdlib.h>

enum {
	VIEW_MS = 1000,
	RISE_STEPS = 64, /* of a slow start */
};

static uint32_t next_prime(uint32_t from)
{
	for (uint32_t n = from > 2 ? from : 2;; n++) {
		uint32_t d = 2;

		while ((uint64_t)d * d <= n && n % d)
			d++;
		if ((uint64_t)d * d > n)
			return n;
	}
}

static size_t count_members(const struct generation *generations, size_t *routes)
{
	size_t members = 0;

	*routes = 0;
	for (const struct generation *g = generations; g; g = g->next) {
		*routes += g->config->n_routes;
		for (unsigned i = 0; i < g->config->n_routes; i++)
			members += g->config->routes[i].n_targets;
	}
	return members;
}

int pool_rings_init(struct worker *worker)
{
	size_t routes;

	count_members(worker->generations, &routes);
	worker->rings = calloc(routes + 1, sizeof *worker->rings);
	if (!worker->rings)
		return -ENOMEM;
	routes = 0;
	for (const struct generation *g = worker->generations; g; g = g->next)
		for (unsigned i = 0; i < g->config->n_routes; i++, routes++) {
			if (g->config->routes[i].balance != BALANCE_SOURCE)
				continue;
			worker->rings[routes] = balance_ring_new(&g->config->routes[i]);
			if (!worker->rings[routes])
				return -ENOMEM;
		}
	return 0;
}

int pool_views_init(struct thread *thread)
{
	struct generation *generations = thread->worker->generations;
	size_t routes, members = count_members(generations, &routes);
	struct pool_view *view =
		calloc(1, (routes + 1) * sizeof *view + 2 * members * sizeof(uint32_t));
	uint32_t *memory, first = 0;

	if (!view)
		return -ENOMEM;
	memory = (uint32_t *)(view + routes + 1);
	thread->dispatch->pools = view;
	for (struct generation *g = generations; g; g = g->next) {
		g->first_pool = first;
		first += g->config->n_routes;
		for (unsigned i = 0; i < g->config->n_routes; i++, view++) {
			view->size = g->config->routes[i].n_targets;
			view->prime = next_prime(view->size);
			view->balance.members = memory;
			view->balance.sums = memory + view->size;
			view->balance.targets = thread->worker->ledger->targets;
			view->balance.slots = g->target_slots[i];
			view->balance.ring = thread->worker->rings[g->first_pool + i];
			view->queue = thread->worker->queues->pools[g->first_pool + i];
			view->balance.limits = view->queue ? thread->worker->queues->limits : NULL;
			memory += 2 * (size_t)view->size;
		}
	}
	return 0;
}

/* At the latest. */
static void look_again(struct pool_view *view, uint64_t at)
{
	if (at < view->until)
		view->until = at;
}

uint64_t pool_view_rank(const struct thread *thread, const struct generation *generation,
			uint32_t route, uint32_t member)
{
	const struct config_member *config =
		&generation->config->routes[route].targets[member].member;

	return (uint64_t)config->backup << 16 |
	       target_priority(target_record(thread, generation, route, member), config);
}

/* The lowest rank that has a live member, of a service whose places begin there; else above all. */
static uint64_t find_level(const struct thread *thread, const struct generation *generation,
			   uint32_t route, uint32_t first)
{
	uint64_t lowest = UINT64_MAX;

	for (uint32_t i = first; i < first + CONFIG_PLACES; i++) {
		uint64_t rank = pool_view_rank(thread, generation, route, i);

		if (rank < lowest && pool_view_lives(thread, generation, route, i))
			lowest = rank;
	}
	return lowest;
}

/* Those that are backups, or those that are not. Returns how many may be chosen then. */
static uint32_t take_members(struct pool_view *view, const struct thread *thread,
			     const struct generation *generation, uint32_t route, bool backup)
{
	const struct config_endpoint *targets = generation->config->routes[route].targets;
	uint64_t level = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < view->size; i++) {
		const struct config_member *member = &targets[i].member;
		const struct ledger_target *record = target_record(thread, generation, route, i);
		uint32_t weight = member->backup == backup
					  ? target_share(record, member, thread->loop.now)
					  : 0;
		uint64_t rank = pool_view_rank(thread, generation, route, i);

		if (member->service && targets[i].place == 1)
			level = find_level(thread, generation, route, i);
		view->has_spares |= member->backup && !backup;
		if (!weight || target_is_left_to_checks(record, member))
			continue;
		if (member->service && rank > level) {
			view->has_spares = true;
			continue;
		}
		if (!target_lives(record, member)) {
			view->balance.members[view->size - ++view->n_probes] = i;
			continue;
		}
		if (target_rises(record, member, thread->loop.now))
			look_again(view, thread->loop.now + member->slow_start / RISE_STEPS);
		if (rank < view->rank)
			view->rank = rank;
		view->balance.members[n] = i;
		view->balance.sums[n++] = weight;
	}
	return n;
}

bool pool_view_lives(const struct thread *thread, const struct generation *generation,
		     uint32_t route, uint32_t member)
{
	const struct config_member *config =
		&generation->config->routes[route].targets[member].member;
	const struct ledger_target *record = target_record(thread, generation, route, member);

	return target_share(record, config, thread->loop.now) &&
	       !target_is_left_to_checks(record, config) && target_lives(record, config);
}

static uint32_t count_queue(const struct pool_view *view, uint32_t n,
			    const struct config_endpoint *targets)
{
	uint64_t size = 0;

	for (uint32_t i = 0; i < n && view->queue; i++)
		size += targets[view->balance.members[i]].member.queue;
	return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

static void make(struct pool_view *view, const struct thread *thread,
		 const struct generation *generation, uint32_t route)
{
	uint32_t n;

	view->n_probes = 0;
	view->has_spares = false;
	view->rank = UINT64_MAX;
	view->is_full = false;
	n = take_members(view, thread, generation, route, false);
	if (!n) {
		view->has_spares = false;
		n = take_members(view, thread, generation, route, true);
	}
	balance_set(&view->balance, n);
	view->queue_size = count_queue(view, n, generation->config->routes[route].targets);
}

struct pool_view *pool_view(const struct thread *thread, const struct generation *generation,
			    uint32_t route)
{
	struct pool_view *view = &thread->dispatch->pools[generation->first_pool + route];
	const struct ledger_route *record =
		&thread->worker->ledger->routes[generation->route_slots[route]];
	uint32_t epoch = atomic_load_explicit(&record->pool_epoch, memory_order_acquire);

	if (view->epoch == epoch && thread->loop.now < view->until)
		return view;
	view->epoch = epoch;
	view->until = thread->loop.now + VIEW_MS * NSEC_PER_MSEC;
	make(view, thread, generation, route);
	return view;
}

uint32_t pool_view_freed(const struct pool_view *view)
{
	uint32_t member = view->queue ? atomic_load(&view->queue->freed) : 0, found;

	found = member ? balance_find(&view->balance, member - 1) : BALANCE_NOBODY;
	return found != BALANCE_NOBODY && balance_has_place(&view->balance, found) ? member - 1
										   : BALANCE_NOBODY;
}

bool pool_view_has_place(struct pool_view *view)
{
	uint32_t changes;

	if (!view->queue || !view->balance.n || pool_view_freed(view) != BALANCE_NOBODY)
		return true;
	changes = atomic_load(&view->queue->changes);
	if (view->is_full && view->full_at == changes)
		return false;
	for (uint32_t i = 0; i < view->balance.n; i++)
		if (balance_has_place(&view->balance, i))
			return true;
	view->is_full = true;
	view->full_at = changes;
	return false;
}

uint32_t pool_view_probe(const struct pool_view *view, uint32_t number)
{
	return view->balance.members[view->size - 1 - number];
}
