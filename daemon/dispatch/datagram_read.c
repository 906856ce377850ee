/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a datagram listener is read. A reliable socket is read message by message, peeked before and
 * consumed after; one that may lose messages in batches, in which neighbours of one peer are sent
 * together. A message that its session cannot take now holds the whole listener back, if its
 * senders can be held back: the session reports this, and the listener waits for its notice.
 */
#include "base/assert.h"
#include "dispatch/datagram.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "dispatch/datagram_lanes.h"
#include "dispatch/listener.h"
#include "move/exchange.h"
#include "move/format.h"
#include "move/receive.h"
#include "net/callback.h"
#include "net/fault.h"
#include "session/buffers.h"
#include "session/lane.h"
#include "session/session.h"
#include "session/tally.h"
#include "session/thread.h"

#include <string.h>
#include <sys/socket.h>

enum {
	DATAGRAM_MESSAGES = 64, /* peeked ones a turn */
	DATAGRAM_BATCHES = 4,
	DATAGRAM_WAIT_MS = 20, /* before a listener that is held back looks again without notice */
	ERRORS_PASSED = 16,    /* in a row */
};

static void count_stripped(const struct datagram_front *front, unsigned count)
{
	ledger_count(&datagram_counter(front)->descriptors, count);
}

/* Negative: the family refuses it; it is counted. */
static int mend(const struct datagram_front *front, const struct msghdr *header,
		struct spliced_message *message)
{
	const struct config_leg *leg = front->leg;
	int r = 0;

	if (leg->family->plugin.received)
		r = (int)CALLBACK(leg->family, received,
				  leg->family->plugin.received(&leg->options, header, message));
	if (r < 0)
		datagram_drop(front, format_drop_reason(r), 1);
	return r;
}

static bool same_peer(const struct mmsghdr *a, const struct mmsghdr *b)
{
	return a->msg_hdr.msg_namelen == b->msg_hdr.msg_namelen &&
	       a->msg_hdr.msg_controllen == b->msg_hdr.msg_controllen &&
	       !memcmp(a->msg_hdr.msg_name, b->msg_hdr.msg_name, a->msg_hdr.msg_namelen) &&
	       !memcmp(a->msg_hdr.msg_control, b->msg_hdr.msg_control, a->msg_hdr.msg_controllen);
}

/* A broadcast arrives at each socket of a port: the first thread relays it, the others ignore
 * it. */
static bool is_copy(const struct datagram_front *front, const struct msghdr *header)
{
	const struct family *family = front->leg->family;

	return front->thread->index &&
	       front->thread->worker->ledger->listeners[front->index].n_fds > 1 &&
	       family->plugin.copied &&
	       CALLBACK(family, copied, family->plugin.copied(&front->leg->options, header)) > 0;
}

/* What is to be handed in of each message; nothing of those that are dropped. */
static void take_batch(const struct datagram_front *front, int n)
{
	struct buffers *buffers = front->thread->buffers;

	assert(n >= 0 && n <= BUFFERS_BATCH);
	for (int i = 0; i < n; i++) {
		struct spliced_message message = {.size = sizeof message,
						  .data = buffers->in_parts[i].iov_base,
						  .len = buffers->in[i].msg_len};

		if (is_copy(front, &buffers->in[i].msg_hdr)) {
			datagram_drop(front, DATAGRAM_NO_MESSAGE, 1);
			message.data = NULL;
		} else if (buffers->in[i].msg_hdr.msg_flags & MSG_TRUNC) {
			datagram_drop(front, DROPPED_OVERSIZE, 1);
			message.data = NULL;
		} else if (mend(front, &buffers->in[i].msg_hdr, &message) < 0) {
			message.data = NULL;
		}
		buffers->in_parts[i] = (struct iovec){(void *)message.data, message.len};
	}
}

static void hand_in_batch(const struct datagram_front *front, int n)
{
	struct buffers *buffers = front->thread->buffers;
	int first = 0;

	assert(n >= 0 && n <= BUFFERS_BATCH);
	while (first < n) {
		enum drop why = DROPPED_NO_SESSION;
		int next = first;
		unsigned count = 0;
		struct session *session;

		if (!buffers->in_parts[first].iov_base) {
			first++;
			continue;
		}
		session = datagram_find(front, &buffers->in[first].msg_hdr, &why);
		for (; next < n && same_peer(&buffers->in[first], &buffers->in[next]); next++)
			if (buffers->in_parts[next].iov_base)
				buffers->messages[count++] = buffers->in_parts[next];
		assert(next > first && count <= (unsigned)(next - first));
		datagram_hand_in_run(front, session, why, count);
		first = next;
	}
}

/* An error of an earlier datagram is cleared by the call that reports it; others stay, and are
 * not asked for all the time. True: the call may be repeated. */
static bool read_failed(const struct datagram_front *front, int error)
{
	assert(error > 0);
	switch (fault_of(error)) {
	case FAULT_BLOCKED:
		return false;
	case FAULT_PEER:
	case FAULT_MESSAGE:
		if (front->listener->errors++ < ERRORS_PASSED)
			return true;
		break;
	case FAULT_INTERRUPTED:
	case FAULT_SHORTAGE:
	case FAULT_CALL:
		break;
	}
	listener_hold_back(front->listener,
			   front->thread->loop.now + DATAGRAM_WAIT_MS * NSEC_PER_MSEC);
	return false;
}

/* True: there may be more. */
static bool receive_batch(const struct datagram_front *front)
{
	struct buffers *buffers = front->thread->buffers;
	int n;

	assert(buffers->in_hand);
	tally_begin(front->thread, BATCH_TAKEN, front->route_slot, 0, BUFFERS_BATCH);
	n = receive_messages(buffers, front->listener->fd, front->leg->row,
			     BUFFERS_SLOT - BUFFERS_HEADROOM, BUFFERS_BATCH, 0);
	tally_end(front->thread, n > 0 ? (uint64_t)n : 0);
	if (n < 0)
		return read_failed(front, -n);
	front->listener->errors = 0;
	count_stripped(front, receive_count_stripped(buffers, front->leg->row, (unsigned)n));
	take_batch(front, n);
	if (lanes_have(front->route))
		datagram_lanes_hand_in(front, n);
	else
		hand_in_batch(front, n);
	return n == BUFFERS_BATCH;
}

/* The message at the head cannot be forwarded now. True: it, or an older one, was dropped;
 * false: it stays. */
static bool overflow(const struct datagram_front *front, enum drop why)
{
	bool waits = why != DROPPED_DENIED && why != DROPPED_LOOP && why != DROPPED_DRAINED &&
		     why != DATAGRAM_NO_MESSAGE;

	assert(why <= DATAGRAM_NO_MESSAGE);
	if (datagram_holds_back(front) && waits) {
		listener_hold_back(front->listener,
				   front->thread->loop.now + DATAGRAM_WAIT_MS * NSEC_PER_MSEC);
		return false;
	}
	if (front->route->overflow == OVERFLOW_DROP_OLD && waits &&
	    !exchange_gives_up(front->listener->fd, front->thread->loop.now,
			       &front->listener->stuck)) {
		listener_hold_back(front->listener,
				   front->thread->loop.now + EXCHANGE_MOMENT_MS * NSEC_PER_MSEC);
		return false;
	}
	datagram_drop(front, why, 1);
	return true;
}

/* The message at the head is done with. False: it could not be taken out of the queue, and is not
 * to be handed in again. */
static bool consume(const struct datagram_front *front)
{
	struct receive_taken told;

	front->listener->owed = !receive_take(front->listener->fd, front->leg->row, &told);
	count_stripped(front, told.stripped);
	ledger_count(&datagram_counter(front)->received[0], !front->listener->owed);
	if (front->listener->owed)
		listener_hold_back(front->listener,
				   front->thread->loop.now + DATAGRAM_WAIT_MS * NSEC_PER_MSEC);
	return !front->listener->owed;
}

/* Hands in the message at the head. False: no session takes it; *why. */
static bool hand_in_peeked(const struct datagram_front *front, struct msghdr *header,
			   const struct iovec *message, enum drop *why)
{
	struct session *session;

	if (lanes_have(front->route))
		return datagram_lanes_take(front, header, message, why);
	session = datagram_find(front, header, why);
	if (!session)
		return false;
	*why = DROPPED_OVERFLOW;
	return !datagram_hand_in(front, session, message, 1);
}

/* One message: peeked, handed in, consumed. True: there may be more. */
static bool receive_peeked(const struct datagram_front *front)
{
	struct buffers *buffers = front->thread->buffers;
	struct msghdr *header = &buffers->in[0].msg_hdr;
	struct spliced_message message;
	struct iovec part;
	enum drop why = DROPPED_NO_SESSION;
	int r;

	assert(buffers->in_hand);
	if (front->listener->owed)
		return consume(front);
	r = receive_messages(buffers, front->listener->fd, front->leg->row, BUFFERS_MESSAGE_MAX, 1,
			     MSG_PEEK);
	if (r < 0)
		return read_failed(front, -r);
	front->listener->errors = 0;
	message = (struct spliced_message){.size = sizeof message,
					   .data = buffers->in_parts[0].iov_base,
					   .len = buffers->in[0].msg_len};
	if (is_copy(front, header)) {
		datagram_drop(front, DATAGRAM_NO_MESSAGE, 1);
		return consume(front);
	}
	if (message.len > BUFFERS_MESSAGE_MAX) {
		datagram_drop(front, DROPPED_OVERSIZE, 1);
	} else if (mend(front, header, &message) >= 0) {
		part = (struct iovec){(void *)message.data, message.len};
		if (!hand_in_peeked(front, header, &part, &why) && !overflow(front, why))
			return false;
	}
	return consume(front);
}

bool datagram_receive(struct thread *thread, struct listener *listener, uint32_t index)
{
	struct datagram_front front;
	bool batches, more = true;

	assert(!thread->buffers->in_hand && thread_is_self(thread));
	datagram_init(&front, thread, listener, index);
	batches = !datagram_is_reliable(&front) && (front.route->overflow == OVERFLOW_AUTO ||
						    front.route->overflow == OVERFLOW_DROP_NEW);
	thread->buffers->in_hand = true;
	for (int i = 0; more && i < (batches ? DATAGRAM_BATCHES : DATAGRAM_MESSAGES); i++) {
		thread_beat(thread);
		more = batches ? receive_batch(&front) : receive_peeked(&front);
	}
	thread->buffers->in_hand = false;
	return more;
}

void datagram_skip(struct thread *thread, struct listener *listener, uint32_t index)
{
	struct datagram_front front;

	datagram_init(&front, thread, listener, index);
	consume(&front);
	datagram_drop(&front, DROPPED_POISON, 1);
	log_error("route %s: a message that was in hand when two workers died is dropped",
		  front.route->name);
}
