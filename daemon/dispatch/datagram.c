/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sessions of datagram listeners: identifies the sender of a message, checks access, and
 * gives the message to its session. */
#include "dispatch/datagram.h"

#include "base/assert.h"
#include "base/clock.h"
#include "config/config.h"
#include "dispatch/access.h"
#include "dispatch/chain.h"
#include "dispatch/dispatch.h"
#include "dispatch/evict.h"
#include "dispatch/idle.h"
#include "dispatch/listener.h"
#include "dispatch/peers.h"
#include "dispatch/session_begin.h"
#include "dispatch/session_end.h"
#include "dispatch/session_log.h"
#include "dispatch/session_serve.h"
#include "dispatch/share.h"
#include "ledger/generation.h"
#include "move/sink.h"
#include "net/callback.h"
#include "session/buffers.h"
#include "session/hand.h"
#include "session/lane.h"
#include "session/session.h"
#include "session/session_check.h"
#include "session/slot.h"
#include "session/thread.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
	DATAGRAM_IDLE_MS = 1000
}; /* a session is evicted for a peer that is held back only after this long without a message */

struct ledger_counter *datagram_counter(const struct datagram_front *front)
{
	return ledger_counter(front->thread->worker->ledger, front->thread->index,
			      front->route_slot);
}

void datagram_drop(const struct datagram_front *front, enum drop why, uint64_t count)
{
	assert(why <= DATAGRAM_NO_MESSAGE);
	if (why == DATAGRAM_NO_MESSAGE)
		ledger_count(&datagram_counter(front)->received[0], -count);
	else
		ledger_count(&datagram_counter(front)->dropped[why], count);
}

void datagram_init(struct datagram_front *front, struct thread *thread, struct listener *listener,
		   uint32_t index)
{
	const struct ledger_listener *record = &thread->worker->ledger->listeners[index];

	assert(listener == &thread->dispatch->listeners[index] && listener->thread == thread);
	assert(record->route < listener->generation->config->n_routes);
	*front = (struct datagram_front){.thread = thread, .listener = listener, .index = index};
	front->route = &listener->generation->config->routes[record->route];
	front->leg = &front->route->listen[record->endpoint].legs[record->leg];
	front->route_slot = listener->generation->route_slots[record->route];
}

bool datagram_is_reliable(const struct datagram_front *front)
{
	return front->leg->row->capabilities & SPLICED_RELIABLE;
}

/* Whether the senders are held back rather than their messages dropped. */
bool datagram_holds_back(const struct datagram_front *front)
{
	return front->route->overflow == OVERFLOW_BLOCK ||
	       (front->route->overflow == OVERFLOW_AUTO && datagram_is_reliable(front));
}

/* ---- sessions ---- */

static void fill_flow(struct session *session, const struct peer *peer)
{
	struct ledger_flow *flow = session_flow(session);

	assert(peer->reply_len <= LEDGER_REPLY_MAX);
	assert_costly(!flow->peer_len && !flow->flags && !flow->kept);
	flow->peer_len = (uint8_t)(peer->len <= LEDGER_PEER_MAX ? peer->len : 0);
	memcpy(flow->peer, peer->address, flow->peer_len);
	flow->reply_len = (uint8_t)peer->reply_len;
	memcpy(flow->reply, peer->reply, peer->reply_len);
}

/* A place; if there is none, that of the session that was idle longest. A lane never replaces
 * another session. */
static struct session *claim(const struct datagram_front *front, bool is_lane)
{
	struct session *session;
	uint64_t at_least = datagram_holds_back(front) ? DATAGRAM_IDLE_MS * NSEC_PER_MSEC : 0;

	if (!share_claim(front->thread, front->route_slot, front->route->limit_sessions, &session))
		return session;
	if (is_lane || !evict_oldest(front->thread, front->route_slot, at_least))
		return NULL;
	return share_claim(front->thread, front->route_slot, front->route->limit_sessions, &session)
		       ? NULL
		       : session;
}

bool datagram_admit(const struct datagram_front *front, const struct address *address,
		    struct chain *chain, enum drop *why)
{
	const struct config_rule *rule;

	if (front->thread->worker->ledger->routes[front->route_slot].hand & LEDGER_HAND_DRAIN) {
		ledger_count(&datagram_counter(front)->refused[REFUSED_DRAINED], 1);
		*why = DROPPED_DRAINED;
		return false;
	}
	if (!access_allowed(front->route, front->leg, front->listener->fd, address, &rule)) {
		session_log_refused(front->thread, front->listener->generation, front->route,
				    front->leg, address, rule);
		ledger_count(&datagram_counter(front)->refused[REFUSED_DENIED], 1);
		*why = DROPPED_DENIED;
		return false;
	}
	chain_find(front->thread, front->index, front->leg, -1, address, front->route_slot, chain);
	if (chain->is_loop) {
		chain_report(front->thread, front->route_slot, chain);
		*why = DROPPED_LOOP;
	} else if (chain->is_echo) {
		*why = DATAGRAM_NO_MESSAGE;
	}
	return !chain->is_loop && !chain->is_echo;
}

struct session *datagram_begin(const struct datagram_front *front, const struct peer *peer,
			       const struct address *address, const struct chain *chain)
{
	struct ledger_listener *record = &front->thread->worker->ledger->listeners[front->index];
	struct session *session = claim(front, !chain);

	assert(thread_is_self(front->thread));
	if (!session)
		return NULL;
	session->generation = front->listener->generation;
	session->route = front->route;
	fill_flow(session, peer);
	slot_feed(session_record(session), record, front->index);
	if (chain)
		chain_join(session, chain);
	atomic_fetch_add_explicit(&record->accepted, 1, memory_order_relaxed);
	peers_add(session);
	idle_add(session);
	session_begin(session, address);
	hand_listener(front->thread, front->index);
	return session;
}

bool datagram_is_alive(const struct session *session)
{
	uint32_t state = session_record(session)->state;

	return (state == SESSION_CONNECTING || state == SESSION_RELAYING) &&
	       !(session_flow(session)->flags & FLOW_SUPERSEDED);
}

static void learn_peer(const struct datagram_front *front, struct msghdr *header, struct peer *peer)
{
	const struct family *family = front->leg->family;
	int n = 0;

	peer->listener = front->index;
	peer->address = header->msg_name;
	/* A UNIX socket without a name has an address of its family alone. */
	peer->len = header->msg_namelen > sizeof(sa_family_t) ? header->msg_namelen : 0;
	if (family->plugin.reply)
		n = (int)CALLBACK(family, reply,
				  family->plugin.reply(&front->leg->options, header, peer->reply,
						       sizeof peer->reply));
	peer->reply_len = n > 0 ? (uint32_t)n : 0;
}

static struct session *alive(struct session *session, enum drop *why)
{
	if (!session || datagram_is_alive(session))
		return session;
	*why = DROPPED_UNREACHABLE;
	return NULL;
}

struct session *datagram_find(const struct datagram_front *front, struct msghdr *header,
			      enum drop *why)
{
	struct address address;
	struct session *session;
	struct chain chain;
	struct peer peer;

	learn_peer(front, header, &peer);
	session = peers_find(front->thread, front->leg, &peer);
	if (session)
		return alive(session, why);
	address.len = peer.len;
	memcpy(&address.storage, peer.address, peer.len);
	return datagram_admit(front, &address, &chain, why)
		       ? alive(datagram_begin(front, &peer, &address, &chain), why)
		       : NULL;
}

/* ---- handing in ---- */

/* Its target takes no more. Replies are still forwarded to its peer, whose next message begins
 * another session. */
static void retire(struct session *session)
{
	assert(session_record(session)->front == FRONT_FED);
	session_flow(session)->flags |= FLOW_SUPERSEDED;
	peers_remove(session);
	session->side[1].readable = true;
	session_queue(session);
}

/* Results of sink_send() that the session itself has to act on. */
static void act(struct session *session, int r)
{
	if (r == SINK_RECONNECT)
		session_reconnect(session);
	else if (r < 0)
		session_end(session, END_ERROR, r);
	else if (r == RELAY_SINK_RESET && lanes_have(session->route))
		session_end(session, END_TARGET_RESET, -ECONNRESET);
	else if (r == RELAY_SINK_RESET)
		retire(session);
}

unsigned datagram_hand_in(const struct datagram_front *front, struct session *session,
			  const struct iovec *messages, unsigned count)
{
	unsigned taken, more;
	int r;

	assert(count <= BUFFERS_BATCH);
	assert(session->thread == front->thread && thread_is_self(front->thread));
	session_record(session)->active = front->thread->loop.now;
	idle_touch(session);
	r = sink_send(session, 0, messages, count, &taken);
	act(session, r);
	/* The target that is there now is another. */
	if (r == SINK_RECONNECT && taken < count && datagram_is_alive(session)) {
		r = sink_send(session, 0, messages + taken, count - taken, &more);
		taken += more;
		act(session, r);
	}
	assert(taken <= count);
	session_check(session);
	return count - taken;
}

void datagram_hand_in_run(const struct datagram_front *front, struct session *session,
			  enum drop why, unsigned count)
{
	unsigned left = count;

	assert(count <= BUFFERS_BATCH);
	if (session) {
		left = datagram_hand_in(front, session, front->thread->buffers->messages, count);
		why = datagram_is_alive(session) &&
				      session_record(session)->state == SESSION_RELAYING
			      ? DROPPED_OVERFLOW
			      : DROPPED_UNREACHABLE;
	}
	datagram_drop(front, why, left);
}
