/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/evict.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "dispatch/dispatch.h"
#include "dispatch/idle.h"
#include "dispatch/session_end.h"
#include "session/session.h"
#include "session/thread.h"

static void tell(const struct session *session)
{
	struct idle_list *list = idle_list_of(session);
	uint64_t now = session->thread->loop.now;

	list->evicted++;
	if (list->logged && now < list->logged + IDLE_LOG_SECONDS * NSEC_PER_SEC)
		return;
	log_notice(
		"route %s: limit of sessions reached: %u sessions, those idle for the longest time, were evicted for new peers",
		session->route->name, list->evicted);
	list->evicted = 0;
	list->logged = now;
}

/* Threads in turn: one that has none of the route does nothing. */
static void ask_another(struct thread *thread, uint32_t route)
{
	struct worker *worker = thread->worker;
	struct thread *other;
	uint32_t nothing = 0;

	assert(thread->dispatch->idle_turn < worker->n_threads && route < LEDGER_ROUTES_MAX);
	if (worker->n_threads == 1)
		return;
	thread->dispatch->idle_turn = (thread->dispatch->idle_turn + 1) % worker->n_threads;
	if (thread->dispatch->idle_turn == thread->index)
		thread->dispatch->idle_turn = (thread->dispatch->idle_turn + 1) % worker->n_threads;
	other = &worker->threads[thread->dispatch->idle_turn];
	if (atomic_compare_exchange_strong(&other->dispatch->idle_wanted, &nothing, route + 1))
		thread_wake(other);
}

static bool evict(struct thread *thread, uint32_t route, uint64_t at_least)
{
	struct session *session = idle_oldest(thread, route);

	assert(route < LEDGER_ROUTES_MAX);
	if (!session || session_record(session)->active + at_least > thread->loop.now)
		return false;
	assert(session->thread == thread && session_record(session)->front == FRONT_FED);
	ledger_count(&session_counter(session)->evicted, 1);
	tell(session);
	session_end(session, END_EVICTED, 0);
	return true;
}

bool evict_oldest(struct thread *thread, uint32_t route, uint64_t at_least)
{
	assert(thread_is_self(thread));
	if (evict(thread, route, at_least))
		return true;
	if (!thread->dispatch->idle[route].first)
		ask_another(thread, route);
	return false;
}

void evict_for_others(struct thread *thread)
{
	uint32_t wanted = atomic_exchange(&thread->dispatch->idle_wanted, 0);

	assert(wanted <= LEDGER_ROUTES_MAX);
	/* A session that was active just now is not ended for a peer of another thread. */
	if (wanted)
		evict(thread, wanted - 1, IDLE_GRAIN_MS * NSEC_PER_MSEC);
}
