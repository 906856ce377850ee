/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions. A session owns two sockets and, while bytes are in flight, a pipe a direction; all of them by way of its
 * record in the ledger. Always true: a descriptor is in the record before it is used and out of it before it is closed;
 * a state changes in session_set_state() alone.
 */
#include "flow/session.h"
#include "flow/session_log.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "flow/access.h"
#include "flow/chain.h"
#include "flow/connect.h"
#include "flow/endpoint.h"
#include "flow/exchange.h"
#include "flow/format.h"
#include "flow/hand.h"
#include "flow/idle.h"
#include "flow/listener.h"
#include "flow/look.h"
#include "flow/peers.h"
#include "flow/relay.h"
#include "flow/ring.h"
#include "flow/sink.h"
#include "flow/stage.h"
#include "flow/standing.h"
#include "flow/tally.h"
#include "flow/thread.h"
#include "ledger/generation.h"
#include "net/fault.h"
#include "net/socket.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct session *session_at(const struct thread *thread, uint32_t slot)
{
	return &thread->worker->sessions[slot];
}

/* A session knows its thread, and so its place in the worker's table. */
uint32_t session_slot(const struct session *session)
{
	return (uint32_t)(session - session->thread->worker->sessions);
}

const struct config_endpoint *session_endpoint(const struct session *session, unsigned side)
{
	const struct ledger_session *record = session_record(session);

	if (side)
		return &session->route->targets[record->target];
	return record->front == FRONT_DIALED ? &session->route->dial[record->endpoint]
					     : &session->route->listen[record->endpoint];
}

const struct config_leg *session_leg(const struct session *session, unsigned side)
{
	const struct ledger_session *record = session_record(session);

	return &session_endpoint(session, side)->legs[side ? record->connect_leg : record->leg];
}

const struct spliced_row *session_row(const struct session *session, unsigned side)
{
	return session_leg(session, side)->row;
}

int session_fd(const struct session *session, unsigned side)
{
	const struct ledger_session *record = session_record(session);

	if (side == 0 && record->front == FRONT_FED)
		return listener_fd(session->thread, record->listener);
	return record->fd[side];
}

struct ledger_counter *session_counter(const struct session *session)
{
	return ledger_counter(session->thread->worker->ledger, session->thread->index,
			      session->generation->route_slots[session_record(session)->route]);
}

void session_set_state(struct session *session, enum ledger_session_state state)
{
	static const uint8_t from[] = {
		[SESSION_FREE] = 1 << SESSION_CLAIMED | 1 << SESSION_ENDING | 1 << SESSION_ABORTING,
		[SESSION_CLAIMED] = 1 << SESSION_FREE,
		[SESSION_CONNECTING] = 1 << SESSION_CLAIMED | 1 << SESSION_RELAYING,
		[SESSION_RELAYING] = 1 << SESSION_CONNECTING,
		[SESSION_ENDING] = 1 << SESSION_RELAYING,
		[SESSION_ABORTING] = 1 << SESSION_CONNECTING | 1 << SESSION_RELAYING,
	};
	struct ledger_session *record = session_record(session);

	assert(from[state] & 1 << record->state);
	atomic_store_explicit(&record->state, state, memory_order_release);
}

static void session_timer(struct timer *timer);

void session_attach(struct session *session, struct thread *thread)
{
	memset(session, 0, sizeof *session);
	session->thread = thread;
	session->record = &thread->worker->ledger->sessions[session_slot(session)];
	session->flow = &thread->worker->ledger->flows[session_slot(session)];
	session->timer.fire = session_timer;
}

bool session_is_handed_in(const struct session *session)
{
	return session_record(session)->front == FRONT_FED && !(session_row(session, 0)->capabilities & SPLICED_FEED);
}

int session_watch(struct session *session, unsigned side)
{
	struct thread *thread = session->thread;
	int fd = session_fd(session, side), r;

	if (fd < 0 || (side == 0 && session_is_handed_in(session)))
		return 0;
	thread->watched = loop_next_serial(thread->watched);
	atomic_store_explicit(&session->watch[side], thread->watched, memory_order_release);
	r = loop_add(&thread->loop, fd, SESSION_EVENTS, KIND_SESSION,
		     loop_name(session_slot(session) | (side ? SESSION_TARGET_BIT : 0), thread->watched));
	session->unwatched[side] = r < 0 && fault_of(-r) == FAULT_SHORTAGE;
	return session->unwatched[side] ? 0 : r;
}

static void remember_peer(struct session *session, const struct address *peer)
{
	session->peer_len = peer->len <= sizeof session->peer ? (uint8_t)peer->len : 0;
	memcpy(session->peer, &peer->storage, session->peer_len);
}

void session_learn_peer(struct session *session, struct address *peer)
{
	const struct ledger_flow *flow = session_flow(session);

	if (session_record(session)->front == FRONT_FED) {
		peer->len = flow->peer_len;
		memcpy(&peer->storage, flow->peer, flow->peer_len);
	} else if (socket_peer_address(session_record(session)->fd[0], peer) < 0) {
		peer->len = 0;
	}
	remember_peer(session, peer);
}

void session_begin(struct session *session, const struct address *peer)
{
	struct ledger_session *record = session_record(session);
	struct ledger *ledger = session->thread->worker->ledger;
	int r;

	record->opened = record->active = session->thread->loop.now;
	remember_peer(session, peer);
	if (session_is_handed_in(session))
		listener_adopt_session(session->thread, record->listener, 1);
	session_set_state(session, SESSION_CONNECTING);
	hand_session(session);
	atomic_fetch_add_explicit(&session->thread->record->sessions, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&ledger->keeper->sessions_total, 1, memory_order_relaxed);
	ledger_count(&session_counter(session)->sessions, 1);
	r = session_watch(session, 0);
	if (r)
		session_end(session, END_ERROR, r);
	else
		connect_begin(session);
	hand_settle(session);
}

/* False: the session is over. */
static bool prepare_exchange(struct session *session)
{
	int r = 0;

	exchange_plan(session);
	for (unsigned side = 0; session->exchanges && side < 2 && !r; side++) {
		exchange_prepare_socket(session, side);
		r = ring_map(session, side);
	}
	if (r)
		session_end(session, END_ERROR, r);
	return !r;
}

/* Should all of the service die at once, the kernel closes: what it cuts must not look complete. A good end takes it back. */
static void arm_resets(const struct session *session)
{
	for (unsigned side = 0; side < 2; side++)
		if (session_row(session, side)->capabilities & SPLICED_RESET)
			socket_set_abort(session_fd(session, side));
}

void session_relay(struct session *session)
{
	look_at_both(session);
	session_set_state(session, SESSION_RELAYING);
	arm_resets(session);
	session_record(session)->active = session->thread->loop.now;
	if (!prepare_exchange(session))
		return;
	standing_relays(session);
	/* A client has mostly spoken already; what a target says is told by an edge, before this (session_note_events()) or after. */
	session->readable[0] = session->writable[0] = session->writable[1] = true;
	session_arm(session);
	session_service(session);
}

void session_reconnect(struct session *session)
{
	struct ledger_session *record = session_record(session);

	/* Before the socket goes: an heir says it again, too. */
	if (session_flow(session)->kept && session_flow(session)->messages[0])
		atomic_fetch_or(&session_flow(session)->flags, FLOW_REPEAT);
	session_set_state(session, SESSION_CONNECTING);
	connect_forget(session);
	session->lost[1] = false;
	session->lost_at = session->patience = 0;
	record->direction[1].flags = 0;
	connect_anew(session);
}

/* 0, or why what was in flight is lost. */
static int adopt_pipes(struct session *session)
{
	struct ledger_session *record = session_record(session);
	int r = 0;

	for (unsigned d = 0; d < 2; d++) {
		int bytes = record->direction[d].pipe < 0 ? 0
							  : pipe_adopt(&session->thread->pipes, record->direction[d].pipe,
								       &session->pipe_size[d]);

		session->fill[d] = bytes > 0 ? (uint32_t)bytes : 0;
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

	/* Whether it waits for ever depends on what becomes of its messages. */
	if (record->front == FRONT_FED) {
		exchange_plan(session);
		if (record->retargeted)
			sink_forget(session, 0);
		record->retargeted = 0;
		sink_adopt(session, 0);
	}
	/* Between two attempts it is not known how long the pause was to be: it is over. */
	timer_set(&session->thread->loop.timers, &session->timer,
		  connect_fd(session) >= 0 && record->deadline > now ? record->deadline : now);
	if (connect_fd(session) >= 0)
		connect_adopt(session);
}

static void adopt_relaying(struct session *session)
{
	struct ledger_session *record = session_record(session);
	struct address reached;

	if (session->thread->worker->log_sessions && session_leg(session, 1)->host_name && !socket_peer_address(session_fd(session, 1), &reached))
		session_log_reached(session, &reached);
	/* An edge may have been eaten by the worker before: look at everything. A FIN that was written down may not have been
	 * sent: shutdown(2) may be called twice. */
	session_expect_everything(session);
	for (unsigned side = 0; side < 2; side++) {
		session->hangup[side] = session->failed[side] = session->urgent[side] = true;
		session_renew_socket(session, side);
		if (record->direction[side].flags & DIRECTION_FIN_SENT &&
		    session_row(session, !side)->capabilities & SPLICED_HALF_CLOSE)
			shutdown(record->fd[!side], SHUT_WR);
	}
	if (!prepare_exchange(session))
		return;
	session_arm(session);
	session_service(session);
}

/* An orphan has not been asked who it is. */
static bool is_welcome(struct session *session, const struct address *peer)
{
	struct ledger_session *record = session_record(session);
	const struct config_leg *leg = &session->route->listen[record->endpoint].legs[record->leg];
	const struct config_rule *rule;

	record->admitted = access_allowed(session->route, leg->family, record->fd[0], peer, &rule);
	if (record->admitted)
		endpoint_set_accepted(&session->route->listen[record->endpoint], record->leg, record->fd[0]);
	else
		session_log_refused(session->thread, session->generation, session->route, leg, peer, rule);
	return record->admitted;
}

/* A fed session lives by its listener's socket. */
static bool is_cut_off(const struct session *session)
{
	return session_record(session)->front == FRONT_FED && session_fd(session, 0) < 0;
}

/* What a record says that it is to be ended for, held against what is ever written there. */
static enum session_end sentence(uint32_t kill)
{
	return kill == END_POISON || kill == END_AUDIT || kill == END_RELOAD ? (enum session_end)kill : END_KILLED;
}

void session_adopt(struct thread *thread, uint32_t slot, const struct generation *generation)
{
	struct session *session = session_at(thread, slot);
	struct ledger_session *record;
	struct address peer = {.len = 0};
	int r;

	session_attach(session, thread);
	record = session_record(session);
	session->generation = generation;
	session->route = &generation->config->routes[record->route];
	session->moves_left = session->route->n_targets - 1;
	hand_session(session);
	share_adopt(session);
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
	hand_settle(session);
}

/* Whether what the loop tells is of the socket that the session has there now. Another thread that has taken the slot says so before it
 * watches anything: whoever sees the serial of its making sees that, too. */
static bool is_meant(const struct thread *thread, const struct session *session, unsigned side, uint32_t serial)
{
	return serial && atomic_load_explicit(&session->watch[side], memory_order_acquire) == serial && session->thread == thread;
}

void session_handle(void *context, uint64_t name, uint32_t events)
{
	struct thread *thread = context;
	struct session *session = session_at(thread, loop_index(name) & ~SESSION_TARGET_BIT);
	unsigned side = loop_index(name) & SESSION_TARGET_BIT ? 1 : 0;
	struct ledger_session *record;

	if (!is_meant(thread, session, side, loop_serial(name)))
		return;
	record = session_record(session);
	hand_session(session);
	session_note_events(session, side, events);
	switch ((enum ledger_session_state)record->state) {
	case SESSION_CONNECTING:
		if (side == connect_side(session) && record->fd[side] >= 0)
			connect_check(session);
		else if (side == 0 && record->fd[0] >= 0 && events & EPOLLERR && socket_take_error(record->fd[0]))
			session_end(session, END_CLIENT_RESET, -ECONNRESET);
		break;
	case SESSION_RELAYING:
		record->active = thread->loop.now;
		idle_touch(session);
		session_service(session);
		break;
	case SESSION_FREE:
	case SESSION_CLAIMED:
	case SESSION_ENDING:
	case SESSION_ABORTING:
		return;
	}
	hand_settle(session);
}

static void session_timer(struct timer *timer)
{
	struct session *session = (struct session *)((char *)timer - offsetof(struct session, timer));

	hand_session(session);
	switch ((enum ledger_session_state)session_record(session)->state) {
	case SESSION_CONNECTING:
		connect_timer(session);
		break;
	case SESSION_RELAYING:
		session_expire(session);
		break;
	case SESSION_ABORTING:
		session_end_wait(session);
		return;
	case SESSION_FREE:
	case SESSION_CLAIMED:
	case SESSION_ENDING:
		return;
	}
	hand_settle(session);
}
