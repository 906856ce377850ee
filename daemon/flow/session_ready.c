/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions that had more to do than a turn allows, in the order in which they came to that. */
#include "flow/session.h"

#include "flow/hand.h"
#include "flow/slot.h"
#include "flow/thread.h"
#include "ledger/ledger.h"

void session_queue(struct session *session)
{
	struct thread *thread = session->thread;

	if (session->queued)
		return;
	session->queued = true;
	session->ready_next = NULL;
	if (thread->ready_last)
		thread->ready_last->ready_next = session;
	else
		thread->ready_first = session;
	thread->ready_last = session;
}

void session_serve_ready(struct thread *thread)
{
	struct session *session = thread->ready_first, *next;

	thread->ready_first = thread->ready_last = NULL;
	for (; session; session = next) {
		next = session->ready_next;
		session->queued = false;
		if (session_record(session)->state == SESSION_ENDING ||
		    (session_record(session)->state == SESSION_ABORTING && session_record(session)->fd[0] < 0))
			slot_release(session);
		if (session_record(session)->state != SESSION_RELAYING)
			continue;
		hand_session(session);
		session_service(session);
		hand_settle(session);
	}
}
