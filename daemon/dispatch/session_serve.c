/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Serving a session that relays: both directions are moved as far as they go, and the results
 * decide the next step. It is served again at once only if something moved or the state changed;
 * otherwise it waits for an event, or for a time.
 */
#include "dispatch/session_serve.h"

#include "base/assert.h"
#include "config/config.h"
#include "dispatch/chain.h"
#include "dispatch/connect.h"
#include "dispatch/interface.h"
#include "dispatch/listener.h"
#include "dispatch/permanent.h"
#include "dispatch/session_end.h"
#include "dispatch/session_gone.h"
#include "dispatch/session_timer.h"
#include "move/format.h"
#include "move/mover.h"
#include "net/socket.h"
#include "session/buffers.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>

/* ---- the timer ---- */

/* Idle for too long: the normal end of a datagram session, and of a session whose client sent
 * EOF; else a failure. */
static void end_idle(struct session *session)
{
	bool aged = session_is_handed_in(session) || session_hears_last_words(session) ||
		    session_waits_for_replies(session);

	session_end(session, aged ? END_AGED : END_IDLE, aged ? 0 : -ETIMEDOUT);
}

/* What waits for a time and not for an event: a pipe, a sink that does not report when there is
 * room, a format. */
static void look_again(struct session *session)
{
	int r = session->useless ? -EBADFD : 0;

	assert(session_record(session)->state == SESSION_RELAYING);
	session->starved = false;
	for (unsigned side = 0; side < 2 && !r; side++)
		if (session->side[side].unwatched)
			r = session_watch(session, side);
	if (r) {
		session_end(session, END_ERROR, r);
		return;
	}
	session_expect_everything(session);
	session->doubt = 0;
	for (unsigned side = 0; side < 2; side++)
		if (session->wake && session->wake <= session->thread->loop.now &&
		    session->side[side].format)
			format_wake(session, side);
	session_arm(session);
	session_service(session);
}

/* ---- a turn ---- */

/* Whether the session is over although only direction d has ended: the other side has no way to
 * signal its end. */
static bool is_last_word(const struct session *session, unsigned d)
{
	uint64_t other = session_row(session, !d)->capabilities;

	if (session->side[d].gone)
		return true;
	/* A client that only receives may send FIN at once, as nc(1) does. */
	if (session->side[!d].receive_only || other & SPLICED_FEED)
		return false;
	return d == 1 && other & SPLICED_CONNECTIONLESS;
}

static bool is_over(const struct session *session, int to_target, int to_client)
{
	if (to_target == RELAY_DONE && to_client == RELAY_DONE)
		return true;
	return session->exchanges && ((to_target == RELAY_DONE && is_last_word(session, 0)) ||
				      (to_client == RELAY_DONE && is_last_word(session, 1)));
}

/* What its listener waited for may be possible now. */
static void let_listener_go_on(struct session *session)
{
	if (session_is_handed_in(session) && session->side[1].writable &&
	    !session->direction[0].fill)
		listener_go_on(session->thread, session_record(session)->listener);
}

/* It waits for an event, or for its timer. */
static void rest(struct session *session, bool client_is_done)
{
	if (session->exchanges)
		let_listener_go_on(session);
	if (session_hears_last_words(session) ||
	    (session->exchanges && client_is_done && !timer_is_set(&session->timer)) ||
	    session_half_closed_time(session))
		session_arm(session);
}

static void go_on(struct session *session)
{
	if (session->moved)
		session_queue(session);
	else
		session_retry(session);
}

static void act(struct session *session, int to_target, int to_client)
{
	assert(to_target > 0 && to_client > 0);
	switch ((enum step_result)(to_target > to_client ? to_target : to_client)) {
	case RELAY_SOURCE_RESET:
		session_end(session,
			    to_target == RELAY_SOURCE_RESET ? END_CLIENT_RESET : END_TARGET_RESET,
			    -ECONNRESET);
		return;
	case EXCHANGE_BAD_FRAME:
		session_end(session, END_FRAMING, 0);
		return;
	case RELAY_DONE:
	case SINK_SATISFIED:
		session_end(session, END_DONE, 0);
		return;
	case SINK_RECONNECT:
		session_reconnect(session);
		return;
	case RELAY_MORE:
		go_on(session);
		break;
	case RELAY_STARVED:
		session_retry(session);
		break;
	case RELAY_SINK_RESET:
		/* The new state may allow the other direction to continue. */
		if (session->moved)
			session_queue(session);
		break;
	case RELAY_BLOCKED:
		rest(session, to_target == RELAY_DONE);
		break;
	}
	if (session_is_gone(session, 0) || session_is_gone(session, 1))
		session_be_patient(session);
}

void session_service(struct session *session)
{
	int to_target, to_client;

	assert(thread_is_self(session->thread));
	assert(session->mover && session_record(session)->state == SESSION_RELAYING);
	if (session->exchanges && session->thread->buffers->in_hand) {
		session_queue(session);
		return;
	}
	if (chain_is_ended(session)) {
		session_end(session, END_LOOP, -ELOOP);
		return;
	}
	session->moved = false;
	session_look_for_errors(session);
	to_target = session->mover->step(session, 0);
	to_client = session->mover->step(session, 1);
	assert(to_target <= EXCHANGE_BAD_FRAME && to_client <= EXCHANGE_BAD_FRAME);
	if (to_target < 0 || to_client < 0)
		session_end(session, END_ERROR, to_target < 0 ? to_target : to_client);
	else if (session_is_gone(session, 0) && session_is_gone(session, 1))
		session_end_gone(session);
	else if (is_over(session, to_target, to_client) && to_target != RELAY_SOURCE_RESET &&
		 to_client != RELAY_SOURCE_RESET)
		session_end(session, END_DONE, 0);
	else
		act(session, to_target, to_client);
	session->vain = session->moved ? 0 : session->vain;
}

void session_expire(struct session *session)
{
	uint64_t now = session->thread->loop.now, idle = session_idle_time(session);

	assert(!timer_is_set(&session->timer));
	if (session->patience && session->patience <= now)
		session_end_gone(session);
	else if (idle && session_record(session)->active + idle <= now && !session->starved)
		end_idle(session);
	else if (session->exchanges || session->starved || session->side[0].unwatched ||
		 session->side[1].unwatched) {
		look_again(session);
	} else if (session->doubt && session->doubt <= now) {
		session_ask_again(session);
		session_arm(session);
		session_service(session);
	} else {
		session_arm(session);
	}
}

/* ---- from and to the target ---- */

bool session_prepare(struct session *session)
{
	int r = 0;

	assert(session_record(session)->state == SESSION_RELAYING);
	mover_plan(session);
	for (unsigned side = 0; side < 2 && !r; side++)
		r = session->mover->prepare(session, side);
	if (r)
		session_end(session, END_ERROR, r);
	return !r;
}

/* If all processes of the service die at once, the kernel closes the sockets: a truncated stream
 * must not look complete. A normal end undoes this. */
static void arm_resets(const struct session *session)
{
	assert(session_record(session)->fd[1] >= 0);
	for (unsigned side = 0; side < 2; side++)
		if (session_row(session, side)->capabilities & SPLICED_RESET)
			socket_set_abort(session_fd(session, side));
}

static void start_to_relay(struct session *session)
{
	assert(session_record(session)->state == SESSION_CONNECTING);
	interface_check_both(session);
	session_set_state(session, SESSION_RELAYING);
	arm_resets(session);
	session_record(session)->active = session->thread->loop.now;
	if (!session_prepare(session))
		return;
	permanent_relays(session);
	/* A client has usually sent data already; data of a target is reported by an edge,
	 * before this (session_note_events()) or after. */
	session->side[0].readable = session->side[0].writable = session->side[1].writable = true;
	session_arm(session);
	session_service(session);
}

void session_go_on(struct session *session, enum connect_result result)
{
	int error = session->connect_error;

	switch (result) {
	case CONNECT_WAITS:
	case CONNECT_NEXT:
		break;
	case CONNECT_REACHED:
		start_to_relay(session);
		break;
	case CONNECT_FULL:
		session_end(session, END_FULL, error);
		break;
	case CONNECT_GIVEN_UP:
		session_end(session, error == -ETIMEDOUT ? END_CONNECT_TIMEOUT : END_UNREACHABLE,
			    error);
		break;
	}
}

void session_reconnect(struct session *session)
{
	struct ledger_session *record = session_record(session);

	assert(record->state == SESSION_RELAYING);
	/* Before the socket goes: an heir repeats it, too. */
	if (session_flow(session)->kept && session_flow(session)->messages[0])
		atomic_fetch_or(&session_flow(session)->flags, FLOW_REPEAT);
	session_set_state(session, SESSION_CONNECTING);
	connect_forget(session);
	session->side[1].lost = false;
	session->lost_at = session->patience = 0;
	record->direction[1].flags = 0;
	session_go_on(session, connect_anew(session));
}
