/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions that had more to do than a turn allows, in the order in which they came to that. One that got its turn for nothing does not
 * come back by itself: else it would come back for ever. */
#include "flow/session.h"

#include "flow/hand.h"
#include "flow/slot.h"
#include "flow/thread.h"
#include "ledger/ledger.h"

#include <assert.h>

enum { VAIN_MAX = 2 }; /* turns for nothing, in a row */

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
		session->vain++;
		assert(session->vain <= VAIN_MAX);
		session_service(session);
		hand_settle(session);
	}
}
