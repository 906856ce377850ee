/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sessions of datagram listeners: who sent a message, whether he may, and that his session gets
 * it. */
#include "dispatch/fed.h"

#include "base/clock.h"
#include "config/config.h"
#include "dispatch/access.h"
#include "dispatch/chain.h"
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
#include "session/slot.h"
#include "session/thread.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
	FED_IDLE_MS = 1000
}; /* a session gives way to a peer that is held back only after so long without a message */

struct ledger_counter *fed_counter(const struct fed *fed)
{
	return ledger_counter(fed->thread->worker->ledger, fed->thread->index, fed->route_slot);
}

void fed_drop(const struct fed *fed, enum drop why, uint64_t count)
{
	if (why == FED_NO_MESSAGE)
		ledger_count(&fed_counter(fed)->received[0], -count);
	else
		ledger_count(&fed_counter(fed)->dropped[why], count);
}

void fed_init(struct fed *fed, struct thread *thread, struct listener *listener, uint32_t index)
{
	const struct ledger_listener *record = &thread->worker->ledger->listeners[index];

	*fed = (struct fed){.thread = thread, .listener = listener, .index = index};
	fed->route = &listener->generation->config->routes[record->route];
	fed->leg = &fed->route->listen[record->endpoint].legs[record->leg];
	fed->route_slot = listener->generation->route_slots[record->route];
}

bool fed_is_reliable(const struct fed *fed)
{
	return fed->leg->row->capabilities & SPLICED_RELIABLE;
}

/* Whether the senders are held back rather than their messages dropped. */
bool fed_holds_back(const struct fed *fed)
{
	return fed->route->overflow == OVERFLOW_BLOCK ||
	       (fed->route->overflow == OVERFLOW_AUTO && fed_is_reliable(fed));
}

/* ---- sessions ---- */

static void fill_flow(struct session *session, const struct peer *peer)
{
	struct ledger_flow *flow = session_flow(session);

	flow->peer_len = (uint8_t)(peer->len <= LEDGER_PEER_MAX ? peer->len : 0);
	memcpy(flow->peer, peer->address, flow->peer_len);
	flow->reply_len = (uint8_t)peer->reply_len;
	memcpy(flow->reply, peer->reply, peer->reply_len);
}

/* A place; where there is none, that of the session that was idle for the longest time. A lane
 * takes no other's. */
static struct session *claim(const struct fed *fed, bool is_lane)
{
	struct session *session;
	uint64_t at_least = fed_holds_back(fed) ? FED_IDLE_MS * NSEC_PER_MSEC : 0;

	if (!share_claim(fed->thread, fed->route_slot, fed->route->limit_sessions, &session))
		return session;
	if (is_lane || !evict_oldest(fed->thread, fed->route_slot, at_least))
		return NULL;
	return share_claim(fed->thread, fed->route_slot, fed->route->limit_sessions, &session)
		       ? NULL
		       : session;
}

bool fed_admit(const struct fed *fed, const struct address *address, struct chain *chain,
	       enum drop *why)
{
	const struct config_rule *rule;

	if (!access_allowed(fed->route, fed->leg->family, fed->listener->fd, address, &rule)) {
		session_log_refused(fed->thread, fed->listener->generation, fed->route, fed->leg,
				    address, rule);
		ledger_count(&fed_counter(fed)->refused[REFUSED_DENIED], 1);
		*why = DROPPED_DENIED;
		return false;
	}
	chain_find(fed->thread, fed->index, fed->leg, -1, address, fed->route_slot, chain);
	if (chain->is_loop) {
		chain_report(fed->thread, fed->route_slot, chain);
		*why = DROPPED_LOOP;
	} else if (chain->is_echo) {
		*why = FED_NO_MESSAGE;
	}
	return !chain->is_loop && !chain->is_echo;
}

struct session *fed_begin(const struct fed *fed, const struct peer *peer,
			  const struct address *address, const struct chain *chain)
{
	struct ledger_listener *record = &fed->thread->worker->ledger->listeners[fed->index];
	struct session *session = claim(fed, !chain);

	if (!session)
		return NULL;
	session->generation = fed->listener->generation;
	session->route = fed->route;
	fill_flow(session, peer);
	slot_feed(session_record(session), record, fed->index);
	if (chain)
		chain_join(session, chain);
	atomic_fetch_add_explicit(&record->accepted, 1, memory_order_relaxed);
	peers_add(session);
	idle_add(session);
	session_begin(session, address);
	hand_listener(fed->thread, fed->index);
	return session;
}

bool fed_is_alive(const struct session *session)
{
	uint32_t state = session_record(session)->state;

	return (state == SESSION_CONNECTING || state == SESSION_RELAYING) &&
	       !(session_flow(session)->flags & FLOW_SUPERSEDED);
}

static void learn_peer(const struct fed *fed, struct msghdr *header, struct peer *peer)
{
	const struct family *family = fed->leg->family;
	int n = 0;

	peer->listener = fed->index;
	peer->address = header->msg_name;
	/* A UNIX socket without a name has an address of its family alone. */
	peer->len = header->msg_namelen > sizeof(sa_family_t) ? header->msg_namelen : 0;
	if (family->plugin.reply)
		n = (int)CALLBACK(family, reply,
				  family->plugin.reply(header, peer->reply, sizeof peer->reply));
	peer->reply_len = n > 0 ? (uint32_t)n : 0;
}

static struct session *alive(struct session *session, enum drop *why)
{
	if (!session || fed_is_alive(session))
		return session;
	*why = DROPPED_UNREACHABLE;
	return NULL;
}

struct session *fed_find(const struct fed *fed, struct msghdr *header, enum drop *why)
{
	struct address address;
	struct session *session;
	struct chain chain;
	struct peer peer;

	learn_peer(fed, header, &peer);
	session = peers_find(fed->thread, fed->leg->family, &peer);
	if (session)
		return alive(session, why);
	address.len = peer.len;
	memcpy(&address.storage, peer.address, peer.len);
	return fed_admit(fed, &address, &chain, why)
		       ? alive(fed_begin(fed, &peer, &address, &chain), why)
		       : NULL;
}

/* ---- handing in ---- */

/* Its target takes no more. What that one had said is still for its peer, whose next message begins
 * another session. */
static void retire(struct session *session)
{
	session_flow(session)->flags |= FLOW_SUPERSEDED;
	peers_remove(session);
	session->side[1].readable = true;
	session_queue(session);
}

/* What sink_send() said, where the session itself has to act on it. */
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

unsigned fed_hand_in(const struct fed *fed, struct session *session, const struct iovec *messages,
		     unsigned count)
{
	unsigned taken, more;
	int r;

	session_record(session)->active = fed->thread->loop.now;
	idle_touch(session);
	r = sink_send(session, 0, messages, count, &taken);
	act(session, r);
	/* The target that is there now is another. */
	if (r == SINK_RECONNECT && taken < count && fed_is_alive(session)) {
		r = sink_send(session, 0, messages + taken, count - taken, &more);
		taken += more;
		act(session, r);
	}
	return count - taken;
}

void fed_hand_in_run(const struct fed *fed, struct session *session, enum drop why, unsigned count)
{
	unsigned left = count;

	if (session) {
		left = fed_hand_in(fed, session, fed->thread->buffers->messages, count);
		why = fed_is_alive(session) && session_record(session)->state == SESSION_RELAYING
			      ? DROPPED_OVERFLOW
			      : DROPPED_UNREACHABLE;
	}
	fed_drop(fed, why, left);
}
