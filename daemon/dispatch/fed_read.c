/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a datagram listener is read. A reliable socket is read message by message, peeked before and
 * consumed after; one that may lose messages in batches, in which neighbours of one peer are sent
 * together. A message that its session cannot take now holds the whole listener back, where its
 * senders can be held back: it says so, and waits to be told.
 */
#include "dispatch/fed.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "dispatch/fed_lanes.h"
#include "dispatch/listener.h"
#include "move/exchange.h"
#include "move/format.h"
#include "move/receive.h"
#include "net/callback.h"
#include "net/fault.h"
#include "session/buffers.h"
#include "session/lane.h"
#include "session/session.h"
#include "session/thread.h"

#include <string.h>
#include <sys/socket.h>

enum {
	FED_MESSAGES = 64, /* peeked ones a turn */
	FED_BATCHES = 4,
	FED_WAIT_MS = 20,   /* before a listener that is held back looks again, untold */
	ERRORS_PASSED = 16, /* in a row */
};

static void count_stripped(const struct fed *fed, unsigned count)
{
	ledger_count(&fed_counter(fed)->descriptors, count);
}

/* Negative: the family refuses it; it is counted. */
static int mend(const struct fed *fed, const struct msghdr *header, struct spliced_message *message)
{
	const struct config_leg *leg = fed->leg;
	int r = 0;

	if (leg->family->plugin.received)
		r = (int)CALLBACK(leg->family, received,
				  leg->family->plugin.received(&leg->options, header, message));
	if (r < 0)
		fed_drop(fed, format_drop_reason(r), 1);
	return r;
}

static bool same_peer(const struct mmsghdr *a, const struct mmsghdr *b)
{
	return a->msg_hdr.msg_namelen == b->msg_hdr.msg_namelen &&
	       a->msg_hdr.msg_controllen == b->msg_hdr.msg_controllen &&
	       !memcmp(a->msg_hdr.msg_name, b->msg_hdr.msg_name, a->msg_hdr.msg_namelen) &&
	       !memcmp(a->msg_hdr.msg_control, b->msg_hdr.msg_control, a->msg_hdr.msg_controllen);
}

/* A broadcast comes to each socket of a port: the first thread relays it, for the others it is no
 * message. */
static bool is_copy(const struct fed *fed, const struct msghdr *header)
{
	const struct family *family = fed->leg->family;

	return fed->thread->index && fed->thread->worker->ledger->listeners[fed->index].n_fds > 1 &&
	       family->plugin.copied && CALLBACK(family, copied, family->plugin.copied(header)) > 0;
}

/* What is to be handed in of each message; nothing of those that are dropped. */
static void take_batch(const struct fed *fed, int n)
{
	struct buffers *buffers = fed->thread->buffers;

	for (int i = 0; i < n; i++) {
		struct spliced_message message = {.size = sizeof message,
						  .data = buffers->in_parts[i].iov_base,
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

/* An error of an earlier datagram is taken with the call that tells of it; others stay, and are not
 * asked about all the time. True: the call may be repeated. */
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

	n = receive_messages(buffers, fed->listener->fd, fed->leg->row,
			     BUFFERS_SLOT - BUFFERS_HEADROOM, BUFFERS_BATCH, 0);
	if (n < 0)
		return read_failed(fed, -n);
	fed->listener->errors = 0;
	ledger_count(&fed_counter(fed)->received[0], (uint64_t)n);
	count_stripped(fed, receive_count_stripped(buffers, fed->leg->row, (unsigned)n));
	take_batch(fed, n);
	if (lanes_have(fed->route))
		fed_lanes_hand_in(fed, n);
	else
		hand_in_batch(fed, n);
	return n == BUFFERS_BATCH;
}

/* The message at the head finds no way now. True: it, or an older one, was dropped; false: it
 * stays. */
static bool overflow(const struct fed *fed, enum drop why)
{
	bool waits = why != DROPPED_DENIED && why != DROPPED_LOOP && why != FED_NO_MESSAGE;

	if (fed_holds_back(fed) && waits) {
		listener_hold_back(fed->listener,
				   fed->thread->loop.now + FED_WAIT_MS * NSEC_PER_MSEC);
		return false;
	}
	if (fed->route->overflow == OVERFLOW_DROP_OLD && waits &&
	    !exchange_gives_up(fed->listener->fd, fed->thread->loop.now, &fed->listener->stuck)) {
		listener_hold_back(fed->listener,
				   fed->thread->loop.now + EXCHANGE_MOMENT_MS * NSEC_PER_MSEC);
		return false;
	}
	fed_drop(fed, why, 1);
	return true;
}

/* The message at the head is done with. False: it could not be taken out of the queue, and is not
 * to be handed in again. */
static bool consume(const struct fed *fed)
{
	struct receive_taken told;

	fed->listener->owed = !receive_take(fed->listener->fd, fed->leg->row, &told);
	count_stripped(fed, told.stripped);
	ledger_count(&fed_counter(fed)->received[0], !fed->listener->owed);
	if (fed->listener->owed)
		listener_hold_back(fed->listener,
				   fed->thread->loop.now + FED_WAIT_MS * NSEC_PER_MSEC);
	return !fed->listener->owed;
}

/* Hands in the message at the head. False: nobody takes it; *why. */
static bool hand_in_peeked(const struct fed *fed, struct msghdr *header,
			   const struct iovec *message, enum drop *why)
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
	r = receive_messages(buffers, fed->listener->fd, fed->leg->row, BUFFERS_MESSAGE_MAX, 1,
			     MSG_PEEK);
	if (r < 0)
		return read_failed(fed, -r);
	fed->listener->errors = 0;
	message = (struct spliced_message){.size = sizeof message,
					   .data = buffers->in_parts[0].iov_base,
					   .len = buffers->in[0].msg_len};
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
	batches = !fed_is_reliable(&fed) && (fed.route->overflow == OVERFLOW_AUTO ||
					     fed.route->overflow == OVERFLOW_DROP_NEW);
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
	log_error("route %s: a message that was in hand when two workers died is dropped",
		  fed.route->name);
}
