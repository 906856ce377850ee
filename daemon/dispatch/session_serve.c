/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a session that relays is served with: both directions are moved as far as they go, and what
 * that came to decides what is next. It is served again at once only where something moved or was
 * learnt; all else waits for an event, or for a time.
 *
 * An end that was reset is gone. What it had said before is passed on as long as the other end
 * takes it; what the other still says is for nobody. Whoever knows resets is not waited for long: a
 * reset overtakes what has not arrived. Others are told as a direct connection tells them (what
 * they write is refused: SHUT_RD) and get more time, since for them an end looks like a good one.
 */
#include "dispatch/session_serve.h"

#include "base/clock.h"
#include "config/config.h"
#include "dispatch/chain.h"
#include "dispatch/connect.h"
#include "dispatch/interface.h"
#include "dispatch/listener.h"
#include "dispatch/permanent.h"
#include "dispatch/session_end.h"
#include "move/format.h"
#include "move/mover.h"
#include "net/socket.h"
#include "session/buffers.h"
#include "session/direction.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum {
	LAST_WORDS_MS = 2000, /* an end that cannot be told that the other has said its last, may be
				 silent for so long */
	GONE_MS = 1000, /* an end may take nothing for so long when the other is gone: one that a
			   reset tells of it ... */
	GONE_UNTOLD_MS = 10000,	 /* ... and one that knows no reset */
	GONE_LONGEST_MS = 60000, /* ... and be slow for so long */
	THROWN_MAX = 64,	 /* reads of what is for nobody any more ... */
	KEPT_PART = 8,		 /* ... of which this part is left unread */
};

/* ---- the timer ---- */

/* One side has said its last, and the other, whose family has no half-close, cannot be told without
 * being cut off. */
static bool hears_last_words(const struct session *session)
{
	for (unsigned d = 0; d < 2; d++)
		if (session_record(session)->direction[d].flags & DIRECTION_FIN_SENT &&
		    !session->side[!d].receive_only &&
		    !(session_row(session, !d)->capabilities &
		      (SPLICED_HALF_CLOSE | SPLICED_CONNECTIONLESS | SPLICED_FEED)))
			return true;
	return false;
}

/* A client has said its last to a target without connections, which has no end to say: only its
 * last reply is waited for. */
static bool waits_for_replies(const struct session *session)
{
	return session->exchanges && !session->side[1].receive_only &&
	       !session_is_handed_in(session) &&
	       session_record(session)->direction[0].flags & DIRECTION_EOF &&
	       session_row(session, 1)->capabilities & SPLICED_CONNECTIONLESS;
}

/* One side has ended, and the other may go on for a time; 0: for ever. */
static uint64_t half_closed_of(const struct session *session)
{
	const struct ledger_session *record = session_record(session);

	if (waits_for_replies(session))
		return session->route->message_half_closed_timeout;
	if (session->side[0].receive_only || session->side[1].receive_only ||
	    session_is_handed_in(session))
		return 0;
	return (record->direction[0].flags | record->direction[1].flags) & DIRECTION_EOF
		       ? session->route->half_closed_timeout
		       : 0;
}

/* How long the session may be idle; 0: for ever. A datagram session has no other end. */
static uint64_t idle_of(const struct session *session)
{
	bool ends_by_idle = session_is_handed_in(session) || waits_for_replies(session);
	uint64_t idle =
		ends_by_idle ? session->route->message_idle_timeout : session->route->idle_timeout;
	uint64_t half_closed = half_closed_of(session);

	if (hears_last_words(session))
		return LAST_WORDS_MS * NSEC_PER_MSEC;
	return half_closed && (!idle || half_closed < idle) ? half_closed : idle;
}

void session_arm(struct session *session)
{
	uint64_t idle = idle_of(session);

	timer_clear(&session->thread->loop.timers, &session->timer);
	if (idle)
		session_look_again(session, session_record(session)->active + idle);
	if (session->wake)
		session_look_again(session, session->wake);
	if (session->doubt)
		session_look_again(session, session->doubt);
	if (session->patience)
		session_look_again(session, session->patience);
	if (session->exchanges)
		interface_check_when_due(session);
	if (session->starved || session->side[0].unwatched || session->side[1].unwatched)
		session_retry(session);
}

/* Idle for too long: the end of a datagram session, and of what is left of a client that said its
 * last; else a failure. */
static void end_idle(struct session *session)
{
	bool aged = session_is_handed_in(session) || hears_last_words(session) ||
		    waits_for_replies(session);

	session_end(session, aged ? END_AGED : END_IDLE, aged ? 0 : -ETIMEDOUT);
}

/* What waits for no event but a time: a pipe, a sink that cannot tell when there is room, a
 * format. */
static void look_again(struct session *session)
{
	int r = session->useless ? -EBADFD : 0;

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

/* ---- an end that is gone ---- */

/* Whether a side was reset, asked in a way that leaves its error to be taken by whoever reads to
 * it. One that a worker took with it into death shows in the state. */
static bool is_reset(const struct session *session, unsigned side)
{
	const struct ledger_session *record = session_record(session);

	return socket_poll(record->fd[side], 0) & POLLERR ||
	       (session_row(session, side)->capabilities & SPLICED_TCP_INFO &&
		!(record->direction[!side].flags & DIRECTION_FIN_SENT) &&
		socket_tcp_state(record->fd[side]) == SOCKET_TCP_CLOSE);
}

/* A side that has already said FIN is not read any more: only its pending error tells that it was
 * reset since. */
static void look_for_reset(struct session *session, unsigned side)
{
	struct ledger_session *record = session_record(session);
	bool reset = is_reset(session, side);

	if (!(record->direction[side].flags & DIRECTION_EOF)) {
		session->side[side].readable = true;
		session->side[side].lost = reset;
		session->side[side].failed = reset;
		return;
	}
	session->side[side].failed = false;
	/* A worker before us may have noted it: what it was is known, a FIN first or not. */
	if (!reset || record->direction[side].flags & DIRECTION_RESET)
		return;
	direction_note_reset(session, side, EPIPE);
	socket_take_error(record->fd[side]);
}

static void look_for_errors(struct session *session)
{
	for (unsigned side = 0; side < 2; side++) {
		if (!session->side[side].failed || session->side[side].lost)
			continue;
		if (session_row(session, side)->capabilities &
		    (SPLICED_CONNECTIONLESS | SPLICED_FEED)) {
			session->side[side].readable = true; /* the next call reports it */
			session->side[side].failed = false;
		} else {
			look_for_reset(session, side);
		}
	}
}

/* Room for who waits for it, to have his write refused then. A part stays unread, which makes
 * close(2) a reset where it can be one. */
static void throw_away(struct session *session, int fd)
{
	int unread = socket_unread(fd), left = unread - unread / KEPT_PART;
	ssize_t n = 1;

	for (int i = 0; left > 0 && n > 0 && i < THROWN_MAX; i++) {
		n = recv(fd, session->thread->buffers->scratch,
			 left < BUFFERS_SCRATCH ? (size_t)left : BUFFERS_SCRATCH, MSG_DONTWAIT);
		left -= (int)n;
	}
}

/* Where there are no resets, a write to somebody who has gone is refused. */
static void refuse_writes(struct session *session, unsigned side)
{
	int fd = session_record(session)->fd[side];

	if (fd < 0 || session_row(session, side)->capabilities &
			      (SPLICED_RESET | SPLICED_CONNECTIONLESS | SPLICED_FEED))
		return;
	if (!shutdown(fd, SHUT_RD))
		throw_away(session, fd);
}

/* An end is gone: for how much longer the other one may take nothing of what is left for it. */
static void be_patient(struct session *session)
{
	unsigned stays = session_is_gone(session, 0) ? 1 : 0;
	uint64_t now = session->thread->loop.now;
	uint64_t silent = session_row(session, stays)->capabilities & SPLICED_RESET
				  ? GONE_MS
				  : GONE_UNTOLD_MS;
	uint64_t until = now + silent * NSEC_PER_MSEC, latest;

	if (!session->lost_at) {
		session->lost_at = now;
		refuse_writes(session, stays);
	}
	latest = session->lost_at + GONE_LONGEST_MS * NSEC_PER_MSEC;
	if (session->moved || !session->patience)
		session->patience = until < latest ? until : latest;
	session_look_again(session, session->patience);
}

static void end_gone(struct session *session)
{
	unsigned side = session_is_gone(session, 0) ? 0 : 1;

	if (!(session_record(session)->direction[side].flags & DIRECTION_RESET))
		direction_note_reset(session, side,
				     -socket_take_error(session_record(session)->fd[side]));
	session_end(session, side ? END_TARGET_RESET : END_CLIENT_RESET, -ECONNRESET);
}

/* ---- a turn ---- */

/* Whether the session is over although only direction d has said its last: the other end has no end
 * to say. */
static bool is_last_word(const struct session *session, unsigned d)
{
	uint64_t other = session_row(session, !d)->capabilities;

	if (session->side[d].gone)
		return true;
	/* A client that only listens has said its FIN at once: nc(1) does. */
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
	if (hears_last_words(session) ||
	    (session->exchanges && client_is_done && !timer_is_set(&session->timer)) ||
	    half_closed_of(session))
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
		/* What was learnt may let the other direction go on. */
		if (session->moved)
			session_queue(session);
		break;
	case RELAY_BLOCKED:
		rest(session, to_target == RELAY_DONE);
		break;
	}
	if (session_is_gone(session, 0) || session_is_gone(session, 1))
		be_patient(session);
}

void session_service(struct session *session)
{
	int to_target, to_client;

	if (session->exchanges && session->thread->buffers->in_hand) {
		session_queue(session);
		return;
	}
	if (chain_is_ended(session)) {
		session_end(session, END_LOOP, -ELOOP);
		return;
	}
	session->moved = false;
	look_for_errors(session);
	to_target = session->mover->step(session, 0);
	to_client = session->mover->step(session, 1);
	if (to_target < 0 || to_client < 0)
		session_end(session, END_ERROR, to_target < 0 ? to_target : to_client);
	else if (session_is_gone(session, 0) && session_is_gone(session, 1))
		end_gone(session);
	else if (is_over(session, to_target, to_client) && to_target != RELAY_SOURCE_RESET &&
		 to_client != RELAY_SOURCE_RESET)
		session_end(session, END_DONE, 0);
	else
		act(session, to_target, to_client);
	session->vain = session->moved ? 0 : session->vain;
}

void session_expire(struct session *session)
{
	uint64_t now = session->thread->loop.now, idle = idle_of(session);

	if (session->patience && session->patience <= now)
		end_gone(session);
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

	mover_plan(session);
	for (unsigned side = 0; side < 2 && !r; side++)
		r = session->mover->prepare(session, side);
	if (r)
		session_end(session, END_ERROR, r);
	return !r;
}

/* Should all of the service die at once, the kernel closes: what it cuts must not look complete. A
 * good end takes it back. */
static void arm_resets(const struct session *session)
{
	for (unsigned side = 0; side < 2; side++)
		if (session_row(session, side)->capabilities & SPLICED_RESET)
			socket_set_abort(session_fd(session, side));
}

static void start_to_relay(struct session *session)
{
	interface_check_both(session);
	session_set_state(session, SESSION_RELAYING);
	arm_resets(session);
	session_record(session)->active = session->thread->loop.now;
	if (!session_prepare(session))
		return;
	permanent_relays(session);
	/* A client has mostly spoken already; what a target says is told by an edge, before this
	 * (session_note_events()) or after. */
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
	case CONNECT_GIVEN_UP:
		session_end(session, error == -ETIMEDOUT ? END_CONNECT_TIMEOUT : END_UNREACHABLE,
			    error);
		break;
	}
}

void session_reconnect(struct session *session)
{
	struct ledger_session *record = session_record(session);

	/* Before the socket goes: an heir says it again, too. */
	if (session_flow(session)->kept && session_flow(session)->messages[0])
		atomic_fetch_or(&session_flow(session)->flags, FLOW_REPEAT);
	session_set_state(session, SESSION_CONNECTING);
	connect_forget(session);
	session->side[1].lost = false;
	session->lost_at = session->patience = 0;
	record->direction[1].flags = 0;
	session_go_on(session, connect_anew(session));
}
