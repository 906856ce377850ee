/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Datagram sessions by age. The lists are this worker's own: what they say the records tell again. */
#include "flow/idle.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "flow/session.h"
#include "flow/thread.h"
#include "ledger/generation.h"

static uint32_t route_slot(const struct session *session)
{
	return session->generation->route_slots[session_record(session)->route];
}

static struct idle_list *list_of(const struct session *session)
{
	return &session->thread->idle[route_slot(session)];
}

/* Where a neighbour's link, or the list's end, has to be written. */
static uint32_t *link_after(struct idle_list *list, const struct thread *thread, uint32_t slot)
{
	return slot ? &session_at(thread, slot - 1)->idle_after : &list->first;
}

static uint32_t *link_before(struct idle_list *list, const struct thread *thread, uint32_t slot)
{
	return slot ? &session_at(thread, slot - 1)->idle_before : &list->last;
}

static void append(struct session *session, uint64_t at)
{
	struct idle_list *list = list_of(session);
	uint32_t slot = session_slot(session) + 1;

	session->idle_at = at;
	session->idle_before = list->last;
	session->idle_after = 0;
	*link_after(list, session->thread, list->last) = slot;
	list->last = slot;
}

void idle_add(struct session *session)
{
	uint64_t active = session_record(session)->active;

	append(session, active ? active : session->thread->loop.now);
}

void idle_remove(struct session *session)
{
	struct idle_list *list = list_of(session);

	if (!session->idle_at)
		return;
	session->idle_at = 0;
	*link_after(list, session->thread, session->idle_before) = session->idle_after;
	*link_before(list, session->thread, session->idle_after) = session->idle_before;
}

void idle_touch(struct session *session)
{
	if (!session->idle_at || session->thread->loop.now < session->idle_at + IDLE_GRAIN_MS * NSEC_PER_MSEC)
		return;
	idle_remove(session);
	append(session, session->thread->loop.now);
}

/* Those that stand among the oldest, but in which something has moved since, go to the end on the way. */
static struct session *oldest(const struct thread *thread, uint32_t route)
{
	struct session *found = NULL;
	uint32_t slot = thread->idle[route].first;

	for (int i = 0; slot && i < IDLE_LOOKS; i++) {
		struct session *session = session_at(thread, slot - 1);
		uint64_t active = session_record(session)->active;

		slot = session->idle_after;
		if (!found || active < session_record(found)->active)
			found = session;
		if (active > session->idle_at) {
			idle_remove(session);
			append(session, active);
		}
	}
	return found;
}

static void tell(const struct session *session)
{
	struct idle_list *list = list_of(session);
	uint64_t now = session->thread->loop.now;

	list->evicted++;
	if (list->logged && now < list->logged + IDLE_LOG_SECONDS * NSEC_PER_SEC)
		return;
	log_notice("route %s: limit of sessions reached: %u sessions, those idle for the longest time, were evicted for new peers", session->route->name,
		   list->evicted);
	list->evicted = 0;
	list->logged = now;
}

/* Threads in turn: one that has none of the route does nothing. */
static void ask_another(struct thread *thread, uint32_t route)
{
	struct worker *worker = thread->worker;
	struct thread *other;
	uint32_t nothing = 0;

	if (worker->n_threads == 1)
		return;
	thread->idle_turn = (thread->idle_turn + 1) % worker->n_threads;
	if (thread->idle_turn == thread->index)
		thread->idle_turn = (thread->idle_turn + 1) % worker->n_threads;
	other = &worker->threads[thread->idle_turn];
	if (atomic_compare_exchange_strong(&other->idle_wanted, &nothing, route + 1))
		thread_wake(other);
}

static bool evict(struct thread *thread, uint32_t route, uint64_t at_least)
{
	struct session *session = oldest(thread, route);

	if (!session || session_record(session)->active + at_least > thread->loop.now)
		return false;
	ledger_count(&session_counter(session)->evicted, 1);
	tell(session);
	session_end(session, END_EVICTED, 0);
	return true;
}

bool idle_evict(struct thread *thread, uint32_t route, uint64_t at_least)
{
	if (evict(thread, route, at_least))
		return true;
	if (!thread->idle[route].first)
		ask_another(thread, route);
	return false;
}

void idle_obey(struct thread *thread)
{
	uint32_t wanted = atomic_exchange(&thread->idle_wanted, 0);

	/* What moved only now is not ended for a peer that another thread has. */
	if (wanted)
		evict(thread, wanted - 1, IDLE_GRAIN_MS * NSEC_PER_MSEC);
}
