/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of a session: it is signaled to the peers, counted and logged, and its descriptors are
 * closed. A descriptor leaves its record before it is closed.
 */
#include "dispatch/session_end.h"

#include "base/assert.h"
#include "base/clock.h"
#include "config/config.h"
#include "dispatch/chain.h"
#include "dispatch/idle.h"
#include "dispatch/listener.h"
#include "dispatch/peers.h"
#include "dispatch/permanent.h"
#include "dispatch/pool.h"
#include "dispatch/queue.h"
#include "dispatch/race.h"
#include "dispatch/session_log.h"
#include "dispatch/share.h"
#include "dispatch/target.h"
#include "ledger/closing.h"
#include "ledger/generation.h"
#include "move/mover.h"
#include "move/sink_drop.h"
#include "move/stage.h"
#include "net/callback.h"
#include "net/socket.h"
#include "session/direction.h"
#include "session/first_message.h"
#include "session/session.h"
#include "session/session_check.h"
#include "session/thread.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ABORT_POLL_MS = 5, /* between two looks at the data in flight */
	ABORT_PATIENCE_MS = 1000,
};

static struct ledger_route *route_record(const struct session *session)
{
	uint32_t slot = session->generation->route_slots[session_record(session)->route];

	assert(slot < LEDGER_ROUTES_MAX);
	return &session->thread->worker->ledger->routes[slot];
}

static void account(struct session *session, enum session_end why)
{
	struct ledger_session *record = session_record(session);
	struct ledger_counter *counter = session_counter(session);

	assert(why >= END_DONE && why <= END_FULL);
	ledger_count(&counter->ended, 1);
	ledger_count(&counter->bytes[0], record->direction[0].bytes);
	ledger_count(&counter->bytes[1], record->direction[1].bytes);
	switch (why) {
	case END_DONE:
	case END_AGED:
	case END_RELOAD:
	case END_EVICTED:
		return;
	case END_DENIED:
		ledger_count(&counter->refused[REFUSED_DENIED], 1);
		break;
	case END_UNREACHABLE:
		ledger_count(&counter->refused[REFUSED_UNREACHABLE], 1);
		break;
	case END_CONNECT_TIMEOUT:
		ledger_count(&counter->refused[REFUSED_TIMEOUT], 1);
		break;
	case END_POISON:
		ledger_count(&counter->refused[REFUSED_POISON], 1);
		break;
	case END_IDLE:
		ledger_count(&counter->idle_timeouts, 1);
		break;
	case END_KILLED:
		ledger_count(&counter->killed, 1);
		break;
	case END_TARGET_DOWN:
		ledger_count(&counter->target_down, 1);
		break;
	case END_FULL:
		ledger_count(&counter->refused[REFUSED_FULL], 1);
		break;
	case END_CLIENT_RESET:
	case END_TARGET_RESET:
	case END_AUDIT:
	case END_STOP:
	case END_ERROR:
	case END_FRAMING:
	case END_LOOP:
		break;
	}
	ledger_count(&counter->aborted, 1);
}

static void close_pipes(struct session *session)
{
	for (unsigned d = 0; d < 2; d++) {
		direction_discard_pipe(session, d);
		stage_discard(session, d);
	}
}

/* What the socket set in the kernel beyond its own life. */
static void take_leave(const struct session *session, unsigned side, int fd)
{
	const struct config_leg *leg = session_leg(session, side);

	if (leg->row->capabilities & SPLICED_FEED && leg->family->plugin.release)
		CALLBACK_VOID(leg->family, release, leg->family->plugin.release(fd, &leg->options));
}

static void close_sockets(struct session *session)
{
	struct ledger_session *record = session_record(session);

	race_end(session);
	for (unsigned side = 0; side < 2; side++) {
		int fd = record->fd[side];

		if (fd < 0)
			continue;
		if (session_row(session, side)->capabilities & SPLICED_RESET)
			(record->state == SESSION_ABORTING ? socket_set_abort
							   : socket_clear_abort)(fd);
		take_leave(session, side, fd);
		chain_forget(session, side);
		session_close(session, side);
	}
}

/* The socket of a listener that fed the session stays open. */
static void let_go_of_listener(struct session *session)
{
	const struct ledger_session *record = session_record(session);

	assert(record->listener < LEDGER_LISTENERS_MAX);
	if (record->front != FRONT_FED)
		return;
	if (session_row(session, 0)->capabilities & SPLICED_FEED) {
		if (session_fd(session, 0) >= 0)
			loop_remove(&session->thread->loop, session_fd(session, 0));
		session->side[0].watch = 0;
		return;
	}
	peers_remove(session);
	listener_adopt_session(session->thread, record->listener, -1);
	listener_go_on(session->thread, record->listener);
}

/* Releases descriptors and slot; nothing of the session is left. */
static void finish(struct session *session)
{
	struct ledger_route *route = route_record(session);

	assert(session_record(session)->state >= SESSION_ENDING);
	assert_costly(route->active > 0 && session->thread->record->sessions > 0);
	timer_clear(&session->thread->loop.timers, &session->timer);
	assert(!timer_is_set(&session->timer));
	let_go_of_listener(session);
	mover_discard(session);
	close_pipes(session);
	close_sockets(session);
	/* Only now: the next one there may not come before this one is gone. */
	pool_uncount(session);
	atomic_fetch_sub_explicit(&route->active, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&session->thread->record->sessions, 1, memory_order_relaxed);
	permanent_ended(session);
	/* A free slot's flow is zero; those that only relay never touch theirs. */
	if (session->exchanges || session_record(session)->front == FRONT_FED ||
	    session_record(session)->chained) {
		if (session_flow(session)->flags & FLOW_REPEAT)
			sink_return(session, 0);
		first_message_forget(session);
		memset(session_flow(session), 0, sizeof(struct ledger_flow));
	}
	assert(session_record(session)->fd[0] < 0 && session_record(session)->fd[1] < 0);
	assert(!session->permanent && !session->idle_at && !session->peer_known);
	share_release(session);
	listeners_resume(session->thread);
}

/* A reset overtakes data in flight; what a direct connection would have delivered before it gets
 * the time to arrive. */
static bool still_carries(const struct session *session)
{
	const struct ledger_session *record = session_record(session);

	for (unsigned side = 0; side < 2; side++)
		/* In families without resets the count is of what the peer has not read, not of
		 * what it has not received. */
		if (record->fd[side] >= 0 && !(record->direction[side].flags & DIRECTION_RESET) &&
		    session_row(session, side)->capabilities & SPLICED_RESET &&
		    socket_unsent(record->fd[side]) > 0)
			return true;
	return false;
}

void session_end_wait(struct session *session)
{
	uint64_t now = session->thread->loop.now;

	assert(session_record(session)->state == SESSION_ABORTING);
	if (now < session_record(session)->deadline && still_carries(session))
		timer_set(&session->thread->loop.timers, &session->timer,
			  now + ABORT_POLL_MS * NSEC_PER_MSEC);
	else
		finish(session);
}

/* The side that was reset had sent FIN before: the FIN is forwarded first, as on a direct
 * connection, if its peer has all data that came before. */
static void pass_fin_before_reset(struct session *session)
{
	struct ledger_session *record = session_record(session);

	assert(record->state == SESSION_ABORTING || record->state == SESSION_ENDING);
	for (unsigned side = 0; side < 2; side++) {
		uint32_t flags = record->direction[side].flags;

		if (flags & DIRECTION_RESET && flags & DIRECTION_FIN_FIRST &&
		    !(flags & DIRECTION_FIN_SENT) && flags & DIRECTION_EOF &&
		    !session->direction[side].fill && record->fd[!side] >= 0)
			shutdown(record->fd[!side], SHUT_WR);
	}
}

/* By FIN, not by RST. */
static bool ends_well(const struct session *session, enum session_end why)
{
	return why == END_DONE || ((why == END_AGED || why == END_RELOAD || why == END_EVICTED) &&
				   session_record(session)->state == SESSION_RELAYING);
}

/* What waits for the target of a lane may go elsewhere, unless the end was requested. */
static bool passes_on(enum session_end why)
{
	return why == END_DONE || why == END_TARGET_RESET || why == END_UNREACHABLE ||
	       why == END_CONNECT_TIMEOUT || why == END_IDLE || why == END_AGED || why == END_ERROR;
}

/* Another session that waits for the target that it was connecting to may try now; if there are
 * other targets, only after the pause: all that is known is that it kept its client waiting so
 * long. */
static void let_go_of_target(struct session *session)
{
	struct ledger_target *target = session_target(session);

	if (!session->round.claims || !session_record(session)->deadline ||
	    !session_connecting_side(session))
		return;
	if (!session->round.down)
		target_put_off(target, &session_endpoint(session, 1)->member,
			       session->thread->loop.now);
	target_release(target);
}

void session_end(struct session *session, enum session_end why, int error)
{
	bool reset;

	assert(thread_is_self(session->thread));
	assert(why >= END_DONE && why <= END_FULL);
	/* Errors after a refused callback are its consequence. */
	if (callback_state.refused)
		why = END_POISON;
	reset = why == END_CLIENT_RESET || why == END_TARGET_RESET;
	if (passes_on(why))
		mover_pass_on(session);
	session_log_end(session, why, error);
	if (session_record(session)->state == SESSION_CONNECTING)
		let_go_of_target(session);
	queue_forget(session);
	account(session, why);
	idle_remove(session);
	session_set_state(session, ends_well(session, why) ? SESSION_ENDING : SESSION_ABORTING);
	if (!reset) {
		finish(session);
		return;
	}
	pass_fin_before_reset(session);
	session_record(session)->deadline =
		session->thread->loop.now + ABORT_PATIENCE_MS * NSEC_PER_MSEC;
	session_end_wait(session);
}

void session_settle(struct session *session)
{
	uint32_t state;

	session_check(session);
	/* First: the slot of one that has ended may be another thread's by now. */
	if (!callback_state.refused)
		return;
	state = session_record(session)->state;
	if (state == SESSION_CONNECTING || state == SESSION_RELAYING)
		session_end(session, END_POISON, 0);
}
