/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules are in the header. Always true: where a session waits and a place is free, a thread is
 * called, or is about to look. A thread that takes its first session out looks again for the next
 * one, of any thread; so a call to a thread whose first session has ended meanwhile is not lost.
 */
#include "dispatch/queue.h"

#include "base/assert.h"
#include "config/config.h"
#include "dispatch/dispatch.h"
#include "dispatch/pool_view.h"
#include "ledger/generation.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static struct queues *queues_of(const struct session *session)
{
	return session->thread->worker->queues;
}

static struct queue *queue_of(const struct session *session)
{
	return queues_of(session)
		->pools[session->generation->first_pool + session_record(session)->route];
}

/* ---- lines ---- */

static uint64_t ticket_of(const struct worker *worker, uint32_t place)
{
	return place ? worker->ledger->flows[place - 1].ticket : 0;
}

static void append(const struct worker *worker, struct queue *queue, uint32_t slot)
{
	struct queue_line *line = &queue->lines[worker->ledger->sessions[slot].thread];
	struct queue_link *links = worker->queues->links;

	assert(!links[slot].waits && !line->first == !line->last);
	links[slot] = (struct queue_link){.before = line->last, .waits = true, .noted = true};
	if (line->last)
		links[line->last - 1].next = slot + 1;
	else
		line->first = slot + 1;
	line->last = slot + 1;
	atomic_store(&line->head, ticket_of(worker, line->first));
}

/* The flow of a session that only relays is never touched. */
bool queue_has_record(const struct ledger_session *record, const struct ledger_flow *flow)
{
	return record->state == SESSION_CONNECTING && !record->deadline && flow->ticket;
}

bool queue_has(const struct session *session)
{
	return queues_of(session)->links[session_slot(session)].waits;
}

bool queue_enter(struct session *session)
{
	struct queue *queue = queue_of(session);
	struct ledger_flow *flow = session_flow(session);
	uint32_t waiting, size;

	assert(thread_is_self(session->thread) && !queue_has(session));
	if (!queue)
		return false;
	size = pool_view(session->thread, queue->generation, queue->route)->queue_size;
	waiting = atomic_load(&queue->waiting);
	do
		if (waiting >= size)
			return false;
	while (!atomic_compare_exchange_weak(&queue->waiting, &waiting, waiting + 1));
	flow->waits_until = session->thread->loop.now + session->route->connect_timeout;
	flow->ticket = atomic_fetch_add(&queues_of(session)->turn, 1) + 1;
	append(session->thread->worker, queue, session_slot(session));
	return true;
}

void queue_leave(struct session *session)
{
	struct queue_link *links = queues_of(session)->links, *link = &links[session_slot(session)];
	struct queue *queue;
	struct queue_line *line;

	if (!link->waits)
		return;
	assert(thread_is_self(session->thread));
	queue = queue_of(session);
	line = &queue->lines[session->thread->index];
	if (link->before)
		links[link->before - 1].next = link->next;
	else
		line->first = link->next;
	if (link->next)
		links[link->next - 1].before = link->before;
	else
		line->last = link->before;
	*link = (struct queue_link){.noted = true};
	atomic_store(&line->head, ticket_of(session->thread->worker, line->first));
	atomic_fetch_sub(&queue->waiting, 1);
}

static void forget_record(struct ledger_flow *flow)
{
	flow->ticket = flow->waits_until = 0;
}

void queue_forget(struct session *session)
{
	struct queue_link *link = &queues_of(session)->links[session_slot(session)];

	if (!link->noted)
		return;
	queue_leave(session);
	forget_record(session_flow(session));
	link->noted = false;
}

/* ---- whose turn it is ---- */

static bool has_place(const struct thread *thread, const struct queue *queue)
{
	return pool_view_has_place(pool_view(thread, queue->generation, queue->route));
}

/* The thread with the lowest ticket. UINT32_MAX: nobody waits. */
static uint32_t find_oldest(const struct worker *worker, const struct queue *queue)
{
	uint64_t lowest = UINT64_MAX;
	uint32_t oldest = UINT32_MAX;

	for (uint32_t i = 0; i < worker->n_threads; i++) {
		uint64_t head = atomic_load(&queue->lines[i].head);

		if (head && head < lowest) {
			lowest = head;
			oldest = i;
		}
	}
	return oldest;
}

bool queue_holds(const struct session *session)
{
	const struct thread *thread = session->thread;
	const struct queue *own = queue_of(session);
	const struct queue *queue =
		queues_of(session)
			->oldest[session->generation->route_slots[session_record(session)->route]];

	if (!own)
		return false;
	for (; queue && queue != own; queue = queue->newer)
		if (atomic_load(&queue->waiting) && has_place(thread, queue))
			return true;
	if (queue_has(session))
		return own->lines[thread->index].first != session_slot(session) + 1 ||
		       find_oldest(thread->worker, own) != thread->index;
	return atomic_load(&own->waiting) && has_place(thread, own);
}

/* ---- calls ---- */

static void call(const struct worker *worker, struct queue *queue, uint32_t index)
{
	struct queue_line *line = &queue->lines[index];
	struct thread *thread = &worker->threads[index];
	struct queue *first;

	if (atomic_exchange(&line->called, true))
		return;
	first = atomic_load(&thread->dispatch->calls);
	do
		line->next = first;
	while (!atomic_compare_exchange_weak(&thread->dispatch->calls, &first, queue));
	thread_wake(thread);
}

void queue_call(struct thread *thread, uint32_t route)
{
	struct worker *worker = thread->worker;

	for (struct queue *queue = worker->queues->oldest[route]; queue; queue = queue->newer) {
		uint32_t oldest;

		if (!atomic_load(&queue->waiting) || !has_place(thread, queue))
			continue;
		oldest = find_oldest(worker, queue);
		if (oldest == UINT32_MAX)
			continue; /* it is about to look itself */
		call(worker, queue, oldest);
		return;
	}
}

void queue_change(struct thread *thread, uint32_t route)
{
	struct queue *queue = thread->worker->queues->oldest[route];

	if (!queue)
		return;
	for (; queue; queue = queue->newer)
		atomic_fetch_add(&queue->changes, 1);
	queue_call(thread, route);
}

void queue_free(const struct session *session)
{
	const struct ledger_session *record = session_record(session);
	struct queue *own = queue_of(session);

	if (own)
		atomic_store(&own->freed, record->target + 1);
	queue_change(session->thread, session->generation->route_slots[record->route]);
}

struct queue *queue_take_calls(struct thread *thread)
{
	return atomic_exchange(&thread->dispatch->calls, NULL);
}

struct queue *queue_next_call(struct thread *thread, struct queue *queue)
{
	struct queue_line *line = &queue->lines[thread->index];
	struct queue *next = line->next;

	/* From here on it may be called again. */
	atomic_store(&line->called, false);
	return next;
}

struct session *queue_first(struct thread *thread, const struct queue *queue)
{
	const struct queue_line *line = &queue->lines[thread->index];

	if (!line->first || find_oldest(thread->worker, queue) != thread->index ||
	    !has_place(thread, queue))
		return NULL;
	return session_at(thread, line->first - 1);
}

uint32_t queue_count(const struct worker *worker, uint32_t route)
{
	uint32_t count = 0;

	for (const struct queue *queue = worker->queues->oldest[route]; queue; queue = queue->newer)
		count += queue->waiting;
	return count;
}

void queue_call_adopted(struct thread *thread)
{
	const struct queues *queues = thread->worker->queues;

	for (const struct generation *g = thread->worker->generations; g; g = g->next)
		for (unsigned i = 0; i < g->config->n_routes; i++)
			if (queues->pools[g->first_pool + i] &&
			    queues->pools[g->first_pool + i]->waiting)
				queue_call(thread, g->route_slots[i]);
}

/* ---- made by the worker, before its threads ---- */

static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* From the newest generation to the oldest: the first that has a target sets its limit. */
static void set_limits(struct queues *queues, const struct generation *generation, bool *set,
		       unsigned route)
{
	const struct config_route *config = &generation->config->routes[route];

	for (unsigned k = 0; k < config->n_targets; k++) {
		uint32_t slot = generation->target_slots[route][k];

		if (!set[slot])
			queues->limits[slot] = config->targets[k].member.max_sessions;
		set[slot] = true;
	}
}

static int make(struct worker *worker, struct generation *generation, unsigned route)
{
	const struct config_route *config = &generation->config->routes[route];
	struct queues *queues = worker->queues;
	uint32_t slot = generation->route_slots[route];
	bool limited = false;
	struct queue *queue;

	for (unsigned k = 0; k < config->n_targets; k++)
		limited |= queues->limits[generation->target_slots[route][k]] != 0;
	if (!limited)
		return 0;
	queue = calloc(1, sizeof *queue + worker->n_threads * sizeof queue->lines[0]);
	if (!queue)
		return -ENOMEM;
	queue->generation = generation;
	queue->route = route;
	queue->slot = slot;
	queue->newer = queues->oldest[slot];
	queues->oldest[slot] = queue;
	queues->pools[generation->first_pool + route] = queue;
	return 0;
}

struct waiting {
	uint64_t ticket;
	uint32_t slot;
};

static int compare(const void *a, const void *b)
{
	uint64_t first = ((const struct waiting *)a)->ticket,
		 second = ((const struct waiting *)b)->ticket;

	return first < second ? -1 : first > second;
}

static void adopt(struct worker *worker, const struct waiting *one)
{
	const struct ledger_session *record = &worker->ledger->sessions[one->slot];
	const struct generation *generation =
		generation_find(worker->generations, record->generation);
	struct queue *queue =
		generation ? worker->queues->pools[generation->first_pool + record->route] : NULL;

	if (!queue) {
		forget_record(&worker->ledger->flows[one->slot]); /* no limit any more */
		return;
	}
	queue->waiting++;
	append(worker, queue, one->slot);
}

static int adopt_all(struct worker *worker)
{
	struct ledger *ledger = worker->ledger;
	uint32_t high = ledger_sessions_high(ledger), n = 0, count = 0;
	struct waiting *all;

	for (uint32_t i = 0; i < high; i++) {
		n += queue_has_record(&ledger->sessions[i], &ledger->flows[i]);
		/* The worker died as it had just begun to connect. */
		if (ledger->sessions[i].state == SESSION_CONNECTING && ledger->sessions[i].deadline)
			forget_record(&ledger->flows[i]);
	}
	all = calloc(n + 1, sizeof *all);
	if (!all)
		return -ENOMEM;
	for (uint32_t i = 0; i < high && count < n; i++)
		if (queue_has_record(&ledger->sessions[i], &ledger->flows[i]))
			all[count++] = (struct waiting){ledger->flows[i].ticket, i};
	qsort(all, count, sizeof *all, compare);
	for (uint32_t i = 0; i < count; i++)
		adopt(worker, &all[i]);
	worker->queues->turn = count ? all[count - 1].ticket : 0;
	free(all);
	return 0;
}

int queues_new(struct worker *worker)
{
	struct queues *queues = worker->queues = calloc(1, sizeof *queues);
	bool *set = calloc(LEDGER_TARGETS_MAX, sizeof *set);
	uint32_t pools = 0;
	int r = -ENOMEM;

	if (!queues || !set)
		goto done;
	for (struct generation *g = worker->generations; g; g = g->next) {
		g->first_pool = pools;
		pools += g->config->n_routes;
	}
	queues->limits = map(LEDGER_TARGETS_MAX * sizeof *queues->limits);
	queues->oldest = map(LEDGER_ROUTES_MAX * sizeof *queues->oldest);
	queues->links = map((size_t)worker->ledger->n_sessions * sizeof *queues->links);
	queues->pools = calloc(pools + 1, sizeof *queues->pools);
	if (!queues->limits || !queues->oldest || !queues->links || !queues->pools)
		goto done;
	for (struct generation *g = worker->generations; g; g = g->next)
		for (unsigned i = 0; i < g->config->n_routes; i++)
			set_limits(queues, g, set, i);
	r = 0;
	for (struct generation *g = worker->generations; g && !r; g = g->next)
		for (unsigned i = 0; i < g->config->n_routes && !r; i++)
			r = make(worker, g, i);
	if (!r)
		r = adopt_all(worker);
done:
	free(set);
	return r;
}
