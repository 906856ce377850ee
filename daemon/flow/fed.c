/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a datagram listener is fed with. A reliable socket is read message by message, peeked before and consumed after; one that
 * may lose messages in batches, in which neighbours of one peer are sent together. A message that its session cannot take
 * now holds the whole listener back, where its senders can be held back: it says so, and waits to be told.
 */
#include "flow/fed.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "flow/access.h"
#include "flow/buffers.h"
#include "flow/chain.h"
#include "flow/evict.h"
#include "flow/exchange.h"
#include "flow/fed_lanes.h"
#include "flow/format.h"
#include "flow/hand.h"
#include "flow/idle.h"
#include "flow/lane.h"
#include "flow/listener.h"
#include "flow/peers.h"
#include "flow/receive.h"
#include "flow/relay.h"
#include "flow/session.h"
#include "flow/session_log.h"
#include "flow/share.h"
#include "flow/sink.h"
#include "flow/slot.h"
#include "flow/thread.h"
#include "ledger/generation.h"
#include "net/callback.h"
#include "net/fault.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
	FED_MESSAGES = 64, /* peeked ones a turn */
	FED_BATCHES = 4,
	FED_WAIT_MS = 20,  /* before a listener that is held back looks again, untold */
	ERRORS_PASSED = 16, /* in a row */
	FED_IDLE_MS = 1000, /* a session gives way to a peer that is held back only after so long without a message */
};

static struct ledger_counter *counter_of(const struct fed *fed)
{
	return ledger_counter(fed->thread->worker->ledger, fed->thread->index, fed->route_slot);
}

void fed_drop(const struct fed *fed, enum drop why, uint64_t count)
{
	if (why == FED_NO_MESSAGE)
		ledger_count(&counter_of(fed)->received[0], -count);
	else
		ledger_count(&counter_of(fed)->dropped[why], count);
}

static void count_stripped(const struct fed *fed, unsigned count)
{
	ledger_count(&counter_of(fed)->descriptors, count);
}

void fed_init(struct fed *fed, struct thread *thread, struct listener *listener, uint32_t index)
{
	const struct ledger_listener *record = &thread->worker->ledger->listeners[index];

	*fed = (struct fed){.thread = thread, .listener = listener, .index = index};
	fed->route = &listener->generation->config->routes[record->route];
	fed->leg = &fed->route->listen[record->endpoint].legs[record->leg];
	fed->route_slot = listener->generation->route_slots[record->route];
}

static bool is_reliable(const struct fed *fed)
{
	return fed->leg->row->capabilities & SPLICED_RELIABLE;
}

/* Whether the senders are held back rather than their messages dropped. */
static bool holds_back(const struct fed *fed)
{
	return fed->route->overflow == OVERFLOW_BLOCK || (fed->route->overflow == OVERFLOW_AUTO && is_reliable(fed));
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

/* A place; where there is none, that of the session that was idle for the longest time. A lane takes no other's. */
static struct session *claim(const struct fed *fed, bool is_lane)
{
	struct session *session;
	uint64_t at_least = holds_back(fed) ? FED_IDLE_MS * NSEC_PER_MSEC : 0;

	if (!share_claim(fed->thread, fed->route_slot, fed->route->limit_sessions, &session))
		return session;
	if (is_lane || !evict_oldest(fed->thread, fed->route_slot, at_least))
		return NULL;
	return share_claim(fed->thread, fed->route_slot, fed->route->limit_sessions, &session) ? NULL : session;
}

bool fed_admit(const struct fed *fed, const struct address *address, struct chain *chain, enum drop *why)
{
	const struct config_rule *rule;

	if (!access_allowed(fed->route, fed->leg->family, fed->listener->fd, address, &rule)) {
		session_log_refused(fed->thread, fed->listener->generation, fed->route, fed->leg, address, rule);
		ledger_count(&counter_of(fed)->refused[REFUSED_DENIED], 1);
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

struct session *fed_begin(const struct fed *fed, const struct peer *peer, const struct address *address, const struct chain *chain)
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

	return (state == SESSION_CONNECTING || state == SESSION_RELAYING) && !(session_flow(session)->flags & FLOW_SUPERSEDED);
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
		n = (int)CALLBACK(family, reply, family->plugin.reply(header, peer->reply, sizeof peer->reply));
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
	return fed_admit(fed, &address, &chain, why) ? alive(fed_begin(fed, &peer, &address, &chain), why) : NULL;
}

/* ---- reading ---- */

/* Its target takes no more. What that one had said is still for its peer, whose next message begins another session. */
static void retire(struct session *session)
{
	session_flow(session)->flags |= FLOW_SUPERSEDED;
	peers_remove(session);
	session->readable[1] = true;
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

unsigned fed_hand_in(const struct fed *fed, struct session *session, const struct iovec *messages, unsigned count)
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
		why = fed_is_alive(session) && session_record(session)->state == SESSION_RELAYING ? DROPPED_OVERFLOW
											      : DROPPED_UNREACHABLE;
	}
	fed_drop(fed, why, left);
}

/* Negative: the family refuses it; it is counted. */
static int mend(const struct fed *fed, const struct msghdr *header, struct spliced_message *message)
{
	const struct config_leg *leg = fed->leg;
	int r = 0;

	if (leg->family->plugin.received)
		r = (int)CALLBACK(leg->family, received, leg->family->plugin.received(&leg->options, header, message));
	if (r < 0)
		fed_drop(fed, format_drop_reason(r), 1);
	return r;
}

static bool same_peer(const struct mmsghdr *a, const struct mmsghdr *b)
{
	return a->msg_hdr.msg_namelen == b->msg_hdr.msg_namelen && a->msg_hdr.msg_controllen == b->msg_hdr.msg_controllen &&
	       !memcmp(a->msg_hdr.msg_name, b->msg_hdr.msg_name, a->msg_hdr.msg_namelen) &&
	       !memcmp(a->msg_hdr.msg_control, b->msg_hdr.msg_control, a->msg_hdr.msg_controllen);
}

/* A broadcast comes to each socket of a port: the first thread relays it, for the others it is no message. */
static bool is_copy(const struct fed *fed, const struct msghdr *header)
{
	const struct family *family = fed->leg->family;

	return fed->thread->index && fed->thread->worker->ledger->listeners[fed->index].n_fds > 1 && family->plugin.copied &&
	       CALLBACK(family, copied, family->plugin.copied(header)) > 0;
}

/* What is to be handed in of each message; nothing of those that are dropped. */
static void take_batch(const struct fed *fed, int n)
{
	struct buffers *buffers = fed->thread->buffers;

	for (int i = 0; i < n; i++) {
		struct spliced_message message = {.size = sizeof message, .data = buffers->in_parts[i].iov_base,
						  .len = buffers->in[i].msg_len};

		if (is_copy(fed, &buffers->in[i].msg_hdr)) {
			fed_drop(fed, FED_NO_MESSAGE, 1);
			message.data = NULL;
		} else if (buffers->in[i].msg_hdr.msg_flags & MSG_TRUNC) {
			fed_drop(fed, DROPPED_OVERSIZE, 1);
			message.data = NULL;
		} else if (mend(fed, &buffers->in[i].msg_hdr, &message) < 0) {
			message.data = NULL;
		}
		buffers->in_parts[i] = (struct iovec){(void *)message.data, message.len};
	}
}

static void hand_in_batch(const struct fed *fed, int n)
{
	struct buffers *buffers = fed->thread->buffers;
	int first = 0;

	while (first < n) {
		enum drop why = DROPPED_NO_SESSION;
		int next = first;
		unsigned count = 0;
		struct session *session;

		if (!buffers->in_parts[first].iov_base) {
			first++;
			continue;
		}
		session = fed_find(fed, &buffers->in[first].msg_hdr, &why);
		for (; next < n && same_peer(&buffers->in[first], &buffers->in[next]); next++)
			if (buffers->in_parts[next].iov_base)
				buffers->messages[count++] = buffers->in_parts[next];
		fed_hand_in_run(fed, session, why, count);
		first = next;
	}
}

/* An error of an earlier datagram is taken with the call that tells of it; others stay, and are not asked about all the time. True: the
 * call may be repeated. */
static bool read_failed(const struct fed *fed, int error)
{
	switch (fault_of(error)) {
	case FAULT_BLOCKED:
		return false;
	case FAULT_PEER:
	case FAULT_MESSAGE:
		if (fed->listener->errors++ < ERRORS_PASSED)
			return true;
		break;
	case FAULT_INTERRUPTED:
	case FAULT_SHORTAGE:
	case FAULT_CALL:
		break;
	}
	listener_hold_back(fed->listener, fed->thread->loop.now + FED_WAIT_MS * NSEC_PER_MSEC);
	return false;
}

/* True: there may be more. */
static bool receive_batch(const struct fed *fed)
{
	struct buffers *buffers = fed->thread->buffers;
	int n;

	n = receive_messages(buffers, fed->listener->fd, fed->leg->row, BUFFERS_SLOT - BUFFERS_HEADROOM, BUFFERS_BATCH, 0);
	if (n < 0)
		return read_failed(fed, -n);
	fed->listener->errors = 0;
	ledger_count(&counter_of(fed)->received[0], (uint64_t)n);
	count_stripped(fed, receive_count_stripped(buffers, fed->leg->row, (unsigned)n));
	take_batch(fed, n);
	if (lanes_have(fed->route))
		fed_lanes_hand_in(fed, n);
	else
		hand_in_batch(fed, n);
	return n == BUFFERS_BATCH;
}

/* The message at the head finds no way now. True: it, or an older one, was dropped; false: it stays. */
static bool overflow(const struct fed *fed, enum drop why)
{
	bool waits = why != DROPPED_DENIED && why != DROPPED_LOOP && why != FED_NO_MESSAGE;

	if (holds_back(fed) && waits) {
		listener_hold_back(fed->listener, fed->thread->loop.now + FED_WAIT_MS * NSEC_PER_MSEC);
		return false;
	}
	if (fed->route->overflow == OVERFLOW_DROP_OLD && waits &&
	    !exchange_gives_up(fed->listener->fd, fed->thread->loop.now, &fed->listener->stuck)) {
		listener_hold_back(fed->listener, fed->thread->loop.now + EXCHANGE_MOMENT_MS * NSEC_PER_MSEC);
		return false;
	}
	fed_drop(fed, why, 1);
	return true;
}

/* The message at the head is done with. False: it could not be taken out of the queue, and is not to be handed in again. */
static bool consume(const struct fed *fed)
{
	struct receive_taken told;

	fed->listener->owed = !receive_take(fed->listener->fd, fed->leg->row, &told);
	count_stripped(fed, told.stripped);
	ledger_count(&counter_of(fed)->received[0], !fed->listener->owed);
	if (fed->listener->owed)
		listener_hold_back(fed->listener, fed->thread->loop.now + FED_WAIT_MS * NSEC_PER_MSEC);
	return !fed->listener->owed;
}

/* Hands in the message at the head. False: nobody takes it; *why. */
static bool hand_in_peeked(const struct fed *fed, struct msghdr *header, const struct iovec *message, enum drop *why)
{
	struct session *session;

	if (lanes_have(fed->route))
		return fed_lanes_take(fed, header, message, why);
	session = fed_find(fed, header, why);
	if (!session)
		return false;
	*why = DROPPED_OVERFLOW;
	return !fed_hand_in(fed, session, message, 1);
}

/* One message: peeked, handed in, consumed. True: there may be more. */
static bool receive_peeked(const struct fed *fed)
{
	struct buffers *buffers = fed->thread->buffers;
	struct msghdr *header = &buffers->in[0].msg_hdr;
	struct spliced_message message;
	struct iovec part;
	enum drop why = DROPPED_NO_SESSION;
	int r;

	if (fed->listener->owed)
		return consume(fed);
	r = receive_messages(buffers, fed->listener->fd, fed->leg->row, BUFFERS_MESSAGE_MAX, 1, MSG_PEEK);
	if (r < 0)
		return read_failed(fed, -r);
	fed->listener->errors = 0;
	message = (struct spliced_message){.size = sizeof message, .data = buffers->in_parts[0].iov_base, .len = buffers->in[0].msg_len};
	if (is_copy(fed, header)) {
		fed_drop(fed, FED_NO_MESSAGE, 1);
		return consume(fed);
	}
	if (message.len > BUFFERS_MESSAGE_MAX) {
		fed_drop(fed, DROPPED_OVERSIZE, 1);
	} else if (mend(fed, header, &message) >= 0) {
		part = (struct iovec){(void *)message.data, message.len};
		if (!hand_in_peeked(fed, header, &part, &why) && !overflow(fed, why))
			return false;
	}
	return consume(fed);
}

bool fed_receive(struct thread *thread, struct listener *listener, uint32_t index)
{
	struct fed fed;
	bool batches, more = true;

	fed_init(&fed, thread, listener, index);
	batches = !is_reliable(&fed) && (fed.route->overflow == OVERFLOW_AUTO || fed.route->overflow == OVERFLOW_DROP_NEW);
	thread->buffers->in_hand = true;
	for (int i = 0; more && i < (batches ? FED_BATCHES : FED_MESSAGES); i++)
		more = batches ? receive_batch(&fed) : receive_peeked(&fed);
	thread->buffers->in_hand = false;
	return more;
}

void fed_skip(struct thread *thread, struct listener *listener, uint32_t index)
{
	struct fed fed;

	fed_init(&fed, thread, listener, index);
	consume(&fed);
	fed_drop(&fed, DROPPED_POISON, 1);
	log_error("route %s: a message that was in hand when two workers died is dropped", fed.route->name);
}
