/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events and timers of a session, by its state. */
#include "dispatch/session_event.h"

#include "base/assert.h"
#include "dispatch/connect.h"
#include "dispatch/idle.h"
#include "dispatch/race.h"
#include "dispatch/session_end.h"
#include "dispatch/session_serve.h"
#include "net/socket.h"
#include "session/hand.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>
#include <stddef.h>

/* Whether an event is of the socket that the session has there now. Another thread that has
 * taken the slot records this before it watches anything: a thread that sees its serial sees
 * that, too. */
static bool is_meant(const struct thread *thread, const struct session *session, unsigned side,
		     uint32_t serial)
{
	return serial &&
	       atomic_load_explicit(&session->side[side].watch, memory_order_acquire) == serial &&
	       session->thread == thread;
}

void session_handle(void *context, uint64_t name, uint32_t events)
{
	struct thread *thread = context;
	struct session *session = session_at(thread, loop_index(name) & ~SESSION_TARGET_BIT);
	unsigned side = loop_index(name) & SESSION_TARGET_BIT ? 1 : 0;
	struct ledger_session *record;

	if (!is_meant(thread, session, side, loop_serial(name)))
		return;
	record = session_record(session);
	assert(record->thread == thread->index);
	hand_session(session);
	session_note_events(session, side, events);
	switch ((enum ledger_session_state)record->state) {
	case SESSION_CONNECTING:
		if (side == session_connecting_side(session) && record->fd[side] >= 0)
			session_go_on(session, connect_check(session));
		else if (side == 0 && record->fd[0] >= 0 && events & EPOLLERR &&
			 socket_take_error(record->fd[0]))
			session_end(session, END_CLIENT_RESET, -ECONNRESET);
		break;
	case SESSION_RELAYING:
		record->active = thread->loop.now;
		idle_touch(session);
		session_service(session);
		break;
	case SESSION_FREE:
	case SESSION_CLAIMED:
	case SESSION_ENDING:
	case SESSION_ABORTING:
		return;
	}
	session_settle(session);
}

void session_handle_rival(void *context, uint64_t name, uint32_t events)
{
	struct thread *thread = context;
	unsigned rival = loop_index(name) >> SESSION_RIVAL_SHIFT;
	struct session *session =
		session_at(thread, loop_index(name) & ((1u << SESSION_RIVAL_SHIFT) - 1));

	(void)events; /* the socket is asked what it is */
	if (!race_is_meant(session, rival, loop_serial(name)) || session->thread != thread)
		return;
	hand_session(session);
	if (session_record(session)->state == SESSION_CONNECTING)
		session_go_on(session, connect_rival(session, rival));
	session_settle(session);
}

void session_timer(struct timer *timer)
{
	struct session *session =
		(struct session *)((char *)timer - offsetof(struct session, timer));

	assert(!timer_is_set(timer));
	assert(thread_is_self(session->thread));
	hand_session(session);
	switch ((enum ledger_session_state)session_record(session)->state) {
	case SESSION_CONNECTING:
		session_go_on(session, connect_timer(session));
		break;
	case SESSION_RELAYING:
		session_expire(session);
		break;
	case SESSION_ABORTING:
		session_end_wait(session);
		return;
	case SESSION_FREE:
	case SESSION_CLAIMED:
	case SESSION_ENDING:
		return;
	}
	session_settle(session);
}
