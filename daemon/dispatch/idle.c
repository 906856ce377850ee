/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Datagram sessions by age. The lists are this worker's own: they can be rebuilt from the
 * records. */
#include "dispatch/idle.h"

#include "base/assert.h"
#include "base/clock.h"
#include "dispatch/dispatch.h"
#include "ledger/generation.h"
#include "session/session.h"
#include "session/thread.h"

static uint32_t route_slot(const struct session *session)
{
	return session->generation->route_slots[session_record(session)->route];
}

struct idle_list *idle_list_of(const struct session *session)
{
	return &session->thread->dispatch->idle[route_slot(session)];
}

/* The neighbour's link, or the list's end, that has to be updated. */
static uint32_t *link_after(struct idle_list *list, const struct thread *thread, uint32_t slot)
{
	assert(slot <= thread->worker->ledger->n_sessions);
	return slot ? &session_at(thread, slot - 1)->idle_after : &list->first;
}

static uint32_t *link_before(struct idle_list *list, const struct thread *thread, uint32_t slot)
{
	assert(slot <= thread->worker->ledger->n_sessions);
	return slot ? &session_at(thread, slot - 1)->idle_before : &list->last;
}

static void append(struct session *session, uint64_t at)
{
	struct idle_list *list = idle_list_of(session);
	uint32_t slot = session_slot(session) + 1;

	assert(at > 0 && !list->first == !list->last);
	session->idle_at = at;
	session->idle_before = list->last;
	session->idle_after = 0;
	*link_after(list, session->thread, list->last) = slot;
	list->last = slot;
}

void idle_add(struct session *session)
{
	uint64_t active = session_record(session)->active;

	assert(!session->idle_at);
	assert(thread_is_self(session->thread));
	append(session, active ? active : session->thread->loop.now);
}

void idle_remove(struct session *session)
{
	struct idle_list *list = idle_list_of(session);

	if (!session->idle_at)
		return;
	session->idle_at = 0;
	assert(*link_after(list, session->thread, session->idle_before) ==
	       session_slot(session) + 1);
	assert(*link_before(list, session->thread, session->idle_after) ==
	       session_slot(session) + 1);
	*link_after(list, session->thread, session->idle_before) = session->idle_after;
	*link_before(list, session->thread, session->idle_after) = session->idle_before;
}

void idle_touch(struct session *session)
{
	if (!session->idle_at ||
	    session->thread->loop.now < session->idle_at + IDLE_GRAIN_MS * NSEC_PER_MSEC)
		return;
	idle_remove(session);
	append(session, session->thread->loop.now);
}

/* Those among the oldest that were active since are moved to the end on the way. */
struct session *idle_oldest(const struct thread *thread, uint32_t route)
{
	struct session *found = NULL;
	uint32_t slot = thread->dispatch->idle[route].first;

	assert(route < LEDGER_ROUTES_MAX);
	for (int i = 0; slot && i < IDLE_LOOKS; i++) {
		struct session *session = session_at(thread, slot - 1);
		uint64_t active = session_record(session)->active;

		assert(session->idle_at && session->thread == thread);
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
