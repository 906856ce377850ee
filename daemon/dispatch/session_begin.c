/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How sessions begin: a client or front asked for one, or the previous worker left it. */
#include "dispatch/session_begin.h"

#include "base/assert.h"
#include "config/config.h"
#include "dispatch/access.h"
#include "dispatch/chain.h"
#include "dispatch/connect.h"
#include "dispatch/idle.h"
#include "dispatch/listener.h"
#include "dispatch/peers.h"
#include "dispatch/pool.h"
#include "dispatch/queue.h"
#include "dispatch/session_end.h"
#include "dispatch/session_event.h"
#include "dispatch/session_log.h"
#include "dispatch/session_serve.h"
#include "dispatch/session_timer.h"
#include "dispatch/share.h"
#include "ledger/generation.h"
#include "move/mover.h"
#include "move/stage.h"
#include "net/socket.h"
#include "session/direction.h"
#include "session/endpoint_socket.h"
#include "session/hand.h"
#include "session/session.h"
#include "session/tally.h"
#include "session/thread.h"

#include <string.h>
#include <sys/socket.h>

void session_begin(struct session *session, const struct address *peer)
{
	struct ledger_session *record = session_record(session);
	struct ledger *ledger = session->thread->worker->ledger;
	int r;

	assert(record->state == SESSION_CLAIMED && session->generation && session->route);
	assert(session->route == &session->generation->config->routes[record->route]);
	assert(record->admitted && record->fd[1] < 0);
	record->opened = record->active = session->thread->loop.now;
	session_remember_peer(session, peer);
	if (session_is_handed_in(session))
		listener_adopt_session(session->thread, record->listener, 1);
	session->timer.fire = session_timer;
	session_set_state(session, SESSION_CONNECTING);
	hand_session(session);
	atomic_fetch_add_explicit(&session->thread->record->sessions, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&ledger->keeper->sessions_total, 1, memory_order_relaxed);
	ledger_count(&session_counter(session)->sessions, 1);
	r = session_watch(session, 0);
	if (r)
		session_end(session, END_ERROR, r);
	else
		session_go_on(session, connect_begin(session));
	session_settle(session);
}

/* 0, or why what was in flight is lost. */
static int adopt_pipes(struct session *session)
{
	struct ledger_session *record = session_record(session);
	int r = 0;

	for (unsigned d = 0; d < 2; d++) {
		int bytes = record->direction[d].pipe < 0
				    ? 0
				    : pipe_adopt(&session->thread->pipes, record->direction[d].pipe,
						 &session->direction[d].pipe_size);

		session->direction[d].fill = bytes > 0 ? (uint32_t)bytes : 0;
		if (bytes < 0) {
			tally_lose_held(session, d);
			record->direction[d].pipe = -1;
			r = bytes;
		}
		stage_adopt(session, d);
	}
	return r;
}

static void adopt_connecting(struct session *session)
{
	struct ledger_session *record = session_record(session);
	uint64_t now = session->thread->loop.now;

	assert(record->state == SESSION_CONNECTING);
	/* Whether it waits without limit depends on what becomes of its messages. */
	if (record->front == FRONT_FED) {
		mover_plan(session);
		if (record->retargeted)
			direction_discard_pipe(session, 0);
		record->retargeted = 0;
		session->mover->adopt(session, 0);
	}
	if (queue_has(session)) {
		timer_set(&session->thread->loop.timers, &session->timer,
			  session_flow(session)->waits_until);
		return;
	}
	/* Between two attempts it is not known how long the pause was to be: it is over. */
	timer_set(&session->thread->loop.timers, &session->timer,
		  connect_fd(session) >= 0 && record->deadline > now ? record->deadline : now);
	session_go_on(session, connect_adopt(session));
}

static void adopt_relaying(struct session *session)
{
	struct ledger_session *record = session_record(session);
	struct address reached;

	assert(record->state == SESSION_RELAYING && record->fd[1] >= 0);
	if (session->thread->worker->log_sessions && session_leg(session, 1)->host_name &&
	    !socket_peer_address(session_fd(session, 1), &reached))
		session_log_reached(session, &reached);
	/* The previous worker may have consumed an edge: look at everything. A FIN that was
	 * noted may not have been sent: shutdown(2) may be called twice. */
	session_expect_everything(session);
	for (unsigned side = 0; side < 2; side++) {
		session->side[side].hangup = session->side[side].failed =
			session->side[side].urgent = true;
		session_renew_socket(session, side);
		if (record->direction[side].flags & DIRECTION_FIN_SENT &&
		    session_row(session, !side)->capabilities & SPLICED_HALF_CLOSE)
			shutdown(record->fd[!side], SHUT_WR);
	}
	if (!session_prepare(session))
		return;
	session_arm(session);
	session_service(session);
}

/* An orphan's peer has not been checked yet. */
static bool is_welcome(struct session *session, const struct address *peer)
{
	struct ledger_session *record = session_record(session);
	const struct config_leg *leg = &session->route->listen[record->endpoint].legs[record->leg];
	const struct config_rule *rule;

	assert(record->front == FRONT_ACCEPTED && record->fd[0] >= 0);
	record->admitted = access_allowed(session->route, leg, record->fd[0], peer, &rule);
	if (record->admitted)
		endpoint_socket_set_accepted(&session->route->listen[record->endpoint], record->leg,
					     record->fd[0]);
	else
		session_log_refused(session->thread, session->generation, session->route, leg, peer,
				    rule);
	return record->admitted;
}

/* A fed session depends on its listener's socket. */
static bool is_cut_off(const struct session *session)
{
	return session_record(session)->front == FRONT_FED && session_fd(session, 0) < 0;
}

/* The reason to end a session, from its record, checked against the values that are ever written
 * there. */
static enum session_end sentence(uint32_t kill)
{
	return kill == END_POISON || kill == END_AUDIT || kill == END_RELOAD
		       ? (enum session_end)kill
		       : END_KILLED;
}

void session_adopt(struct thread *thread, uint32_t slot, const struct generation *generation)
{
	struct session *session = session_at(thread, slot);
	struct ledger_session *record;
	struct address peer = {.len = 0};
	int r;

	assert(generation);
	session_attach(session, thread);
	session->timer.fire = session_timer;
	record = session_record(session);
	session->generation = generation;
	session->route = &generation->config->routes[record->route];
	session->moves_left = session->route->n_targets - 1;
	hand_session(session);
	share_adopt(session);
	pool_adopt(session);
	if (session->share && record->front == FRONT_FED)
		idle_add(session);
	session_learn_peer(session, &peer);
	if (session_is_handed_in(session)) {
		listener_adopt_session(thread, record->listener, 1);
		if (!(session_flow(session)->flags & FLOW_SUPERSEDED))
			peers_add(session);
	}
	r = adopt_pipes(session);
	if (!r)
		r = session_watch(session, 0);
	if (!r && record->fd[1] >= 0)
		r = session_watch(session, 1);
	chain_adopt(session, 1);
	if (record->front == FRONT_DIALED)
		chain_adopt(session, 0);
	if (r)
		session_end(session, END_ERROR, r);
	else if (record->kill)
		session_end(session, sentence(record->kill), 0);
	else if (is_cut_off(session))
		session_end(session, END_RELOAD, 0);
	else if (!record->admitted && !is_welcome(session, &peer))
		session_end(session, END_DENIED, 0);
	else if (record->state == SESSION_CONNECTING)
		adopt_connecting(session);
	else
		adopt_relaying(session);
	session_settle(session);
}
