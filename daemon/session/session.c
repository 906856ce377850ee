/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions. A session owns two sockets and, while bytes are in flight, a pipe a direction; all of
 * them in its record in the ledger. Always true: a descriptor is recorded before it is used, and
 * removed from the record before it is closed; a state changes only in session_set_state().
 */
#include "session/session.h"

#include "base/assert.h"
#include "config/config.h"
#include "ledger/closing.h"
#include "ledger/generation.h"
#include "net/fault.h"
#include "net/socket.h"
#include "session/thread.h"

#include <string.h>

struct session *session_at(const struct thread *thread, uint32_t slot)
{
	assert(slot < thread->worker->ledger->n_sessions);
	return &thread->worker->sessions[slot];
}

/* A session has its thread, and so its place in the worker's table. */
uint32_t session_slot(const struct session *session)
{
	ptrdiff_t slot = session - session->thread->worker->sessions;

	assert(slot >= 0 && slot < (ptrdiff_t)session->thread->worker->ledger->n_sessions);
	return (uint32_t)slot;
}

const struct config_endpoint *session_endpoint(const struct session *session, unsigned side)
{
	const struct ledger_session *record = session_record(session);

	assert(side < 2);
	assert_costly(!side || record->target < session->route->n_targets);
	if (side)
		return &session->route->targets[record->target];
	return record->front == FRONT_DIALED ? &session->route->dial[record->endpoint]
					     : &session->route->listen[record->endpoint];
}

const struct config_leg *session_leg(const struct session *session, unsigned side)
{
	const struct ledger_session *record = session_record(session);

	assert_costly((side ? record->connect_leg : record->leg) <
		      session_endpoint(session, side)->n_legs);
	return &session_endpoint(session, side)->legs[side ? record->connect_leg : record->leg];
}

const struct spliced_row *session_row(const struct session *session, unsigned side)
{
	return session_leg(session, side)->row;
}

int session_fd(const struct session *session, unsigned side)
{
	const struct ledger_session *record = session_record(session);

	assert(side < 2);
	assert_costly(record->front != FRONT_FED || record->listener < LEDGER_LISTENERS_MAX);
	if (side == 0 && record->front == FRONT_FED)
		return session->thread->fronts[record->listener] - 1;
	return record->fd[side];
}

unsigned session_connecting_side(const struct session *session)
{
	const struct ledger_session *record = session_record(session);

	return record->front == FRONT_DIALED && !record->fronted ? 0 : 1;
}

unsigned session_target_slot(const struct session *session)
{
	const struct ledger_session *record = session_record(session);
	unsigned place = session_connecting_side(session)
				 ? record->target
				 : session->route->n_targets + record->endpoint;

	assert(place < session->route->n_targets + session->route->n_dial);
	assert(record->route < session->generation->config->n_routes);
	return session->generation->target_slots[record->route][place];
}

struct ledger_target *session_target(const struct session *session)
{
	return &session->thread->worker->ledger->targets[session_target_slot(session)];
}

bool session_blocks(const struct session *session, unsigned side)
{
	return session->side[side].overflow == OVERFLOW_BLOCK;
}

struct ledger_counter *session_counter(const struct session *session)
{
	assert_costly(session_record(session)->route < session->generation->config->n_routes);
	return ledger_counter(session->thread->worker->ledger, session->thread->index,
			      session->generation->route_slots[session_record(session)->route]);
}

/* A record that is returned has no descriptors. */
static __attribute__((unused)) bool session_has_nothing(const struct ledger_session *record)
{
	for (unsigned k = 0; k < 2; k++)
		if (record->fd[k] >= 0 || record->direction[k].pipe >= 0 || record->stage[k] >= 0)
			return false;
	return true;
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

	assert(state < sizeof from && record->state < sizeof from);
	assert(from[state] & 1 << record->state);
	assert(thread_is_self(session->thread) && record->thread == session->thread->index);
	assert(state != SESSION_RELAYING || record->fd[1] >= 0);
	assert_costly(state != SESSION_FREE || session_has_nothing(record));
	atomic_store_explicit(&record->state, state, memory_order_release);
}

void session_attach(struct session *session, struct thread *thread)
{
	assert(thread_is_self(thread));
	assert(!session->queued);
	memset(session, 0, sizeof *session);
	session->thread = thread;
	session->record = &thread->worker->ledger->sessions[session_slot(session)];
	session->flow = &thread->worker->ledger->flows[session_slot(session)];
	assert(session->record->thread == thread->index ||
	       session->record->state == SESSION_CLAIMED);
}

bool session_is_handed_in(const struct session *session)
{
	return session_record(session)->front == FRONT_FED &&
	       !(session_row(session, 0)->capabilities & SPLICED_FEED);
}

int session_watch(struct session *session, unsigned side)
{
	struct thread *thread = session->thread;
	int fd = session_fd(session, side), r;

	assert(side < 2);
	assert_costly(fd < 0 || assert_is_open(fd));
	if (fd < 0 || (side == 0 && session_is_handed_in(session)))
		return 0;
	thread->watched = loop_next_serial(thread->watched);
	atomic_store_explicit(&session->side[side].watch, thread->watched, memory_order_release);
	r = loop_add(&thread->loop, fd, SESSION_EVENTS, KIND_SESSION,
		     loop_name(session_slot(session) | (side ? SESSION_TARGET_BIT : 0),
			       thread->watched));
	session->side[side].unwatched = r < 0 && fault_of(-r) == FAULT_SHORTAGE;
	return session->side[side].unwatched ? 0 : r;
}

void session_remember_peer(struct session *session, const struct address *peer)
{
	assert(peer->len <= sizeof peer->storage);
	session->peer_len = peer->len <= sizeof session->peer ? (uint8_t)peer->len : 0;
	memcpy(session->peer, &peer->storage, session->peer_len);
}

void session_learn_peer(struct session *session, struct address *peer)
{
	const struct ledger_flow *flow = session_flow(session);

	assert(flow->peer_len <= LEDGER_PEER_MAX);
	if (session_record(session)->front == FRONT_FED) {
		peer->len = flow->peer_len;
		memcpy(&peer->storage, flow->peer, flow->peer_len);
	} else if (socket_peer_address(session_record(session)->fd[0], peer) < 0) {
		peer->len = 0;
	}
	session_remember_peer(session, peer);
}

void session_queue(struct session *session)
{
	struct thread *thread = session->thread;

	assert(thread_is_self(thread));
	assert(!thread->ready_first == !thread->ready_last);
	if (session->queued)
		return;
	session->queued = true;
	session->ready_next = NULL;
	if (thread->ready_last)
		thread->ready_last->ready_next = session;
	else
		thread->ready_first = session;
	thread->ready_last = session;
	assert(!thread->ready_last->ready_next && thread->ready_first->queued);
}

/* The name under which a side's socket is closed. A TCP socket that we connected has a port that
 * has no listener. */
static uint64_t closing_name_at(const struct session *session, unsigned side)
{
	struct address peer = {.len = session->peer_len};
	int fd = session_record(session)->fd[side];

	if (fd < 0 || !(session_row(session, side)->capabilities & SPLICED_TCP_INFO))
		return fd < 0 ? 0 : closing_name(fd);
	if (side || session_record(session)->front != FRONT_ACCEPTED)
		return 0;
	memcpy(&peer.storage, session->peer, session->peer_len);
	return peer.len ? closing_name_of_peer(fd, &peer) : closing_name(fd);
}

void session_close(struct session *session, unsigned side)
{
	assert(side < 2);
	assert_costly(session_record(session)->fd[side] < 0 ||
		      assert_is_open(session_record(session)->fd[side]));
	session->side[side].watch = 0;
	if (session_record(session)->fd[side] >= 0 && socket_may_drop(session_row(session, side)))
		ledger_count(&session_counter(session)->kernel,
			     socket_drops(session_record(session)->fd[side]));
	closing_close(session->thread->record, &session_record(session)->fd[side],
		      closing_name_at(session, side));
}

void session_renew_socket(const struct session *session, unsigned side)
{
	uint64_t capabilities = session_row(session, side)->capabilities;
	int fd = session_record(session)->fd[side];

	assert(side < 2);
	if (fd >= 0 && !(capabilities & SPLICED_RESET))
		socket_clear_abort(fd);
	if (fd >= 0 && capabilities & SPLICED_TCP_INFO)
		socket_keep_urgent(fd);
}

const char *session_end_name(enum session_end why)
{
	switch (why) {
	case END_DONE:
		return "done";
	case END_DENIED:
		return "refused by allow or deny";
	case END_CLIENT_RESET:
		return "reset by the client";
	case END_TARGET_RESET:
		return "reset by the target";
	case END_UNREACHABLE:
		return "no target answered";
	case END_CONNECT_TIMEOUT:
		return "no target answered in time";
	case END_IDLE:
		return "idle for too long";
	case END_KILLED:
		return "killed by the operator";
	case END_POISON:
		return "in hand at repeated deaths of the worker";
	case END_AUDIT:
		return "bytes missing after a crash";
	case END_STOP:
		return "spliced stops";
	case END_ERROR:
		return "the kernel refused";
	case END_AGED:
		return "idle";
	case END_FRAMING:
		return "not a frame, or one larger than max_frame";
	case END_RELOAD:
		return "taken away by a reload";
	case END_LOOP:
		return "its target leads back to its own route";
	case END_EVICTED:
		return "gave way to a newer peer";
	case END_TARGET_DOWN:
		return "its target went down";
	case END_FULL:
		return "all targets are full";
	}
	return "?";
}
