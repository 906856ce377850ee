/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The request is in the target's record: an heir starts again with its first session. */
#include "dispatch/clear.h"

#include "config/config.h"
#include "dispatch/dispatch.h"
#include "dispatch/pool.h"
#include "dispatch/session_end.h"
#include "dispatch/session_serve.h"
#include "dispatch/target.h"
#include "dispatch/target_check.h"
#include "session/hand.h"
#include "session/lane.h"
#include "session/session.h"
#include "session/thread.h"

enum { SESSIONS_A_TURN = 1024 };

void clear_ask(struct thread *thread)
{
	atomic_store(&thread->dispatch->clears, 1);
	thread_wake(thread);
}

/* Its target went down, after it had begun, and the route says that it ends then. */
static bool ends_with_target(const struct session *session)
{
	const struct ledger_session *record = session_record(session);

	return record->state == SESSION_RELAYING && session->route->on_down == ON_DOWN_END &&
	       !lane_is(session) && record->opened < target_down_since(session_target(session));
}

static void clear_session(struct session *session)
{
	const struct ledger_session *record = session_record(session);

	if (ends_with_target(session)) {
		hand_session(session);
		session_end(session, END_TARGET_DOWN, 0);
		session_settle(session);
		return;
	}
	/* A session that has no target yet takes another. */
	if (!pool_counts(record) || !target_is_disabled(session_target(session)))
		return;
	hand_session(session);
	if (record->state == SESSION_CONNECTING && !lane_is(session))
		session_go_on(session, connect_elsewhere(session));
	else
		session_end(session, END_KILLED, 0);
	session_settle(session);
}

void clear_disabled(struct thread *thread)
{
	const struct ledger *ledger = thread->worker->ledger;
	uint32_t high = ledger_sessions_high(ledger);

	if (atomic_exchange(&thread->dispatch->clears, 0)) {
		thread->dispatch->clearing = true;
		thread->dispatch->clear_next = 0;
	}
	for (int i = 0; thread->dispatch->clearing && i < SESSIONS_A_TURN; i++) {
		uint32_t slot = thread->dispatch->clear_next++;

		thread->dispatch->clearing = slot < high;
		if (thread->dispatch->clearing && ledger->sessions[slot].thread == thread->index &&
		    session_at(thread, slot)->thread == thread)
			clear_session(session_at(thread, slot));
	}
	if (thread->dispatch->clearing)
		thread_wake(thread);
}
