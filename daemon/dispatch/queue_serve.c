/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session keeps its position in the queue until it has a place: another may have taken the one
 * that it was called for. */
#include "dispatch/queue_serve.h"

#include "dispatch/connect.h"
#include "dispatch/queue.h"
#include "dispatch/session_end.h"
#include "dispatch/session_serve.h"
#include "session/hand.h"
#include "session/session.h"
#include "session/thread.h"

enum { SESSIONS_A_CALL = 64 };

static void serve(struct thread *thread, const struct queue *queue)
{
	const struct session *before = NULL;

	for (int i = 0; i < SESSIONS_A_CALL; i++) {
		struct session *session = queue_first(thread, queue);

		if (!session || session == before)
			break;
		before = session;
		hand_session(session);
		session_go_on(session, connect_in_turn(session));
		session_settle(session);
	}
	queue_call(thread, queue->slot);
}

void queue_serve(struct thread *thread)
{
	struct queue *queue = queue_take_calls(thread), *next;

	for (; queue; queue = next) {
		next = queue_next_call(thread, queue);
		serve(thread, queue);
	}
}
