/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checks. The session may have ended while it was served, and another thread may have its slot:
 * only a record that names this thread is looked at.
 */
#include "session/session_check.h"

#include "base/assert.h"

#ifdef SPLICED_DEV

#include "config/config.h"
#include "ledger/generation.h"
#include "session/session.h"
#include "session/thread.h"

/* The last of the messages that wait for a target being connected may be truncated: its bytes are
 * not counted, and nothing is written behind it. */
enum { CLOSED_UP = 128 << 10 };

static void check_pipe(const struct session *session, unsigned d)
{
	const struct ledger_session *record = session->record;
	const struct direction *direction = &session->direction[d];
	int pipe = record->direction[d].pipe;

	if (pipe < 0) {
		assert(!direction->fill && !session->flow->held[d]);
		return;
	}
	assert(pipe != record->direction[!d].pipe);
	assert(pipe != record->stage[0] && pipe != record->stage[1]);
	assert(pipe != record->fd[0] && pipe != record->fd[1]);
	assert(assert_bytes_in(pipe) == (int)direction->fill || direction->fill == CLOSED_UP);
}

static void check_stage(const struct session *session, unsigned s)
{
	const struct ledger_session *record = session->record;
	int stage = record->stage[s];

	if (stage < 0) {
		assert(!session->side[s].staged && !session->side[s].stage_news);
		return;
	}
	assert(stage != record->stage[!s]);
	assert(assert_bytes_in(stage) == (int)session->side[s].staged);
}

static void check_socket(const struct session *session, unsigned s)
{
	const struct ledger_session *record = session->record;
	uint32_t flags = record->direction[s].flags;

	assert(record->fd[s] == -1 || assert_is_open(record->fd[s]));
	assert(record->fd[s] == -1 || record->fd[s] != record->fd[!s]);
	assert(record->front != FRONT_FED || record->fd[0] == -1);
	/* No urgent byte is half forwarded; no FIN is sent before EOF was read. */
	assert(record->state != SESSION_RELAYING || !(flags & DIRECTION_URGENT));
	assert(!(flags & DIRECTION_FIN_SENT) || flags & (DIRECTION_EOF | DIRECTION_RESET));
}

static void check_plan(const struct session *session)
{
	const struct ledger_session *record = session->record;

	assert(record->route < session->generation->config->n_routes);
	assert(session->route == &session->generation->config->routes[record->route]);
	assert(record->generation == session->generation->number);
	if (record->state != SESSION_RELAYING)
		return;
	assert(record->fd[1] >= 0 && record->target < session->route->n_targets);
	assert(session->mover && record->admitted);
	/* Something serves it again when there is more to do: an event of the socket, the ready
	 * list, or the timer. */
	assert(session->side[1].watch || session->side[1].unwatched);
	assert(!session->starved || session->queued || timer_is_set(&session->timer));
}

void session_check(const struct session *session)
{
	const struct thread *thread = thread_self;
	const struct ledger_session *record;
	uint32_t slot;

	if (!thread)
		return;
	slot = (uint32_t)(session - thread->worker->sessions);
	assert(slot < thread->worker->ledger->n_sessions);
	record = &thread->worker->ledger->sessions[slot];
	if ((record->state != SESSION_CONNECTING && record->state != SESSION_RELAYING) ||
	    record->thread != thread->index || session->thread != thread)
		return;
	assert(session->record == record);
	assert(session->flow == &thread->worker->ledger->flows[slot]);
	check_plan(session);
	for (unsigned k = 0; k < 2; k++) {
		check_socket(session, k);
		check_pipe(session, k);
		check_stage(session, k);
	}
}

#else

void session_check(const struct session *session)
{
	(void)session;
}

#endif
