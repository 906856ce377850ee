/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Slots. A thread searches those it freed itself, then its share of the table, then everything; it
 * claims a slot by one compare-and-exchange of the record's state, so that two threads may try the
 * same slot.
 */
#include "session/slot.h"

#include "base/assert.h"
#include "ledger/ledger.h"
#include "net/socket.h"
#include "session/session.h"
#include "session/thread.h"

#include <string.h>

static bool claim(struct thread *thread, uint32_t slot)
{
	uint32_t free_state = SESSION_FREE;

	assert(slot < thread->worker->ledger->n_sessions);
	return atomic_compare_exchange_strong(&thread->worker->ledger->sessions[slot].state,
					      &free_state, SESSION_CLAIMED);
}

static void raise_high_mark(struct ledger *ledger, uint32_t slot)
{
	uint32_t high = atomic_load(&ledger->keeper->sessions_high);

	assert(slot < ledger->n_sessions);
	while (high <= slot &&
	       !atomic_compare_exchange_weak(&ledger->keeper->sessions_high, &high, slot + 1))
		;
}

/* The threads' slots alternate, so that a few sessions are close together in the table: own slots
 * are index, index + n, ... */
static int64_t find_slot(struct thread *thread)
{
	struct ledger *ledger = thread->worker->ledger;

	assert(thread->n_free <= ledger->n_sessions);
	while (thread->n_free) {
		uint32_t slot = thread->free_slots[--thread->n_free];
		if (claim(thread, slot))
			return slot;
	}
	while (thread->cursor < ledger->n_sessions) {
		uint32_t slot = thread->cursor;
		thread->cursor += thread->worker->n_threads;
		if (claim(thread, slot))
			return slot;
	}
	/* The thread's own share is used up: any slot that others left. */
	for (uint32_t slot = 0; slot < ledger->n_sessions; slot++)
		if (ledger->sessions[slot].state == SESSION_FREE && claim(thread, slot))
			return slot;
	return -1;
}

void slot_init(struct ledger_session *record, uint16_t thread)
{
	const size_t from = offsetof(struct ledger_session, serial) + sizeof record->serial;

	assert(record->state == SESSION_CLAIMED || record->state == SESSION_FREE);
	/* First, for glance_session(). */
	__atomic_store_n(&record->serial, record->serial + 1, __ATOMIC_RELAXED);
	atomic_thread_fence(memory_order_release);
	memset((char *)record + from, 0, sizeof *record - from);
	record->thread = thread;
	record->fd[0] = record->fd[1] = -1;
	for (int d = 0; d < 2; d++)
		record->direction[d].pipe = record->stage[d] = -1;
}

void slot_take_socket(struct ledger *ledger, struct ledger_session *record, unsigned side, int fd)
{
	assert(side < 2 && fd >= 0 && record->fd[side] == -1);
	ledger->cookies[record - ledger->sessions].fd[side] = socket_cookie(fd);
	/* The order of the stores matters only if this process dies between them. */
	atomic_signal_fence(memory_order_seq_cst);
	record->fd[side] = fd;
}

static void take_place(struct ledger_session *record, const struct ledger_listener *listener)
{
	assert(record->fd[0] == -1 && record->state <= SESSION_CLAIMED);
	record->generation = listener->generation;
	record->route = listener->route;
	record->endpoint = listener->endpoint;
	record->leg = listener->leg;
}

void slot_accept(struct ledger *ledger, struct ledger_session *record,
		 const struct ledger_listener *listener, int fd)
{
	assert_costly(assert_is_open(fd));
	take_place(record, listener);
	slot_take_socket(ledger, record, 0, fd);
}

void slot_feed(struct ledger_session *record, const struct ledger_listener *listener,
	       uint32_t index)
{
	assert(index < LEDGER_LISTENERS_MAX);
	take_place(record, listener);
	record->front = FRONT_FED;
	record->listener = index;
	record->admitted = 1;
}

struct session *slot_claim(struct thread *thread)
{
	struct ledger *ledger = thread->worker->ledger;
	struct session *session;
	int64_t slot;

	if (atomic_fetch_add(&ledger->keeper->sessions_active, 1) >= ledger->n_sessions)
		goto full;
	slot = find_slot(thread);
	if (slot < 0)
		goto full;
	raise_high_mark(ledger, (uint32_t)slot);
	session = session_at(thread, (uint32_t)slot);
	session_attach(session, thread);
	slot_init(session_record(session), (uint16_t)thread->index);
	assert(session_record(session)->state == SESSION_CLAIMED && session_slot(session) == slot);
	return session;
full:
	atomic_fetch_sub(&ledger->keeper->sessions_active, 1);
	return NULL;
}

void slot_release(struct session *session)
{
	struct thread *thread = session->thread;
	uint32_t slot = session_slot(session);

	assert(!session->queued && !session->share);
	assert(!timer_is_set(&session->timer));
	session_set_state(session, SESSION_FREE);
	atomic_fetch_sub(&thread->worker->ledger->keeper->sessions_active, 1);
	if (thread->n_free < thread->worker->ledger->n_sessions)
		thread->free_slots[thread->n_free++] = slot;
}

void slot_note_limit(struct thread *thread, uint32_t route, uint32_t why)
{
	struct ledger_route *record = &thread->worker->ledger->routes[route];

	assert(route < LEDGER_ROUTES_MAX);
	assert(why > PAUSE_NONE && (why <= PAUSE_PIPES || why == PAUSE_FULL));
	atomic_store_explicit(&record->limit, why, memory_order_relaxed);
	atomic_store_explicit(&record->limit_at, thread->loop.now, memory_order_relaxed);
}
