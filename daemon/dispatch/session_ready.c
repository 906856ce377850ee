/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions that had more to do than a turn allows, in the order in which they came to that. One
 * that had nothing to do in its turn is not queued again: otherwise it would be queued without
 * end. */
#include "dispatch/session_ready.h"

#include "base/assert.h"
#include "dispatch/session_end.h"
#include "dispatch/session_serve.h"
#include "dispatch/share.h"
#include "ledger/ledger.h"
#include "session/hand.h"
#include "session/session.h"
#include "session/thread.h"

enum { VAIN_MAX = 2 }; /* turns for nothing, in a row */

void session_serve_ready(struct thread *thread)
{
	struct session *session = thread->ready_first, *next;

	thread->ready_first = thread->ready_last = NULL;
	for (; session; session = next) {
		next = session->ready_next;
		assert(session->queued && session->thread == thread);
		session->queued = false;
		if (session_record(session)->state == SESSION_ENDING ||
		    (session_record(session)->state == SESSION_ABORTING &&
		     session_record(session)->fd[0] < 0))
			share_release(session);
		if (session_record(session)->state != SESSION_RELAYING)
			continue;
		hand_session(session);
		session->vain++;
		assert(session->vain <= VAIN_MAX);
		session_service(session);
		session_settle(session);
	}
}
