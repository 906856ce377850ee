/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Message sockets as sinks. What surprised us about the kernel: a UDP socket reports the ICMP error
 * of an earlier datagram at the next call, which then did nothing: the call is repeated. A UNIX
 * datagram socket whose peer has died keeps failing with ECONNREFUSED, even when a new socket has
 * the peer's name: it must be connected again. And only a connected socket reports when there is
 * room again: the others are tried from time to time.
 */
#include "move/sink_message.h"

#include "base/assert.h"
#include "base/clock.h"
#include "config/config.h"
#include "move/absent.h"
#include "move/mover.h"
#include "move/roam.h"
#include "move/sink_drop.h"
#include "net/callback.h"
#include "net/fault.h"
#include "net/socket.h"
#include "session/buffers.h"
#include "session/direction.h"
#include "session/first_message.h"
#include "session/session.h"
#include "session/tally.h"
#include "session/thread.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum {
	POLL_MS = 2, /* before a sink without events is tried again, doubled each time that it
			accepts nothing, */
	POLL_DOUBLINGS = 5, /* so often */
};

/* They are in the route's count already. */
static void count_sent(struct session *session, unsigned d, uint64_t messages, uint64_t bytes)
{
	assert(messages > 0);
	session->direction[d].polls = 0;
	if (d == 0 && !session->proven)
		mover_tell_sent(session);
	ledger_count(&session_flow(session)->messages[d], messages);
	ledger_count((_Atomic uint64_t *)&session_record(session)->direction[d].bytes, bytes);
}

/* Whether the peer of a datagram session got as many replies as expected for its messages. */
static bool is_satisfied(const struct session *session, unsigned d)
{
	const struct ledger_flow *flow = session_flow(session);
	int64_t replies = session->route->replies;

	return d == 1 && replies > 0 && session_is_handed_in(session) &&
	       flow->messages[1] >= flow->messages[0] * (uint64_t)replies;
}

static void aim(struct session *session, unsigned d, const struct iovec *message,
		struct mmsghdr *header)
{
	struct ledger_flow *flow = session_flow(session);

	assert(d == 0 || !session_is_handed_in(session) || flow->peer_len);
	memset(header, 0, sizeof *header);
	header->msg_hdr.msg_iov = (struct iovec *)message;
	header->msg_hdr.msg_iovlen = 1;
	if (d == 0 && session->roams) {
		header->msg_hdr.msg_name = flow->far;
		header->msg_hdr.msg_namelen = flow->far_len;
	}
	if (d == 0 || !session_is_handed_in(session))
		return;
	header->msg_hdr.msg_name = flow->peer;
	header->msg_hdr.msg_namelen = flow->peer_len;
	if (flow->reply_len) {
		header->msg_hdr.msg_control = flow->reply;
		header->msg_hdr.msg_controllen = flow->reply_len;
	}
}

static int blocked(struct session *session, unsigned d, bool tells)
{
	assert(session->direction[d].polls <= POLL_DOUBLINGS);
	session_believe_unwritable(session, !d);
	if (!tells || (d == 1 && session_is_handed_in(session))) {
		session_look_again(session,
				   session->thread->loop.now + (POLL_MS * NSEC_PER_MSEC
								<< session->direction[d].polls));
		if (session->direction[d].polls < POLL_DOUBLINGS)
			session->direction[d].polls++;
	}
	return RELAY_BLOCKED;
}

bool sink_has_room(struct session *session, unsigned d)
{
	assert(d < 2);
	if (session->side[!d].framing)
		return !session->direction[d].fill;
	if (socket_poll(session_fd(session, !d), POLLOUT) & POLLOUT)
		return true;
	blocked(session, d, true);
	return false;
}

/* As judge(), for a socket whose connection ends with this error, unless another target takes
 * over.
 */
static int judge_connection(struct session *session, unsigned d, int error)
{
	enum fault fault = fault_of(error);

	/* The device is down, or does not understand the message. */
	if (session_row(session, !d)->capabilities & SPLICED_FILE &&
	    (error == EIO || error == EINVAL)) {
		sink_drop(session, DROPPED_UNREACHABLE, 1);
		return 0;
	}
	if (d == 0 && fault == FAULT_PEER && session_flow(session)->kept &&
	    mover_tell_lost(session, -error))
		return SINK_RECONNECT;
	if (fault == FAULT_CALL)
		return -error;
	direction_note_reset(session, !d, error);
	return RELAY_SINK_RESET;
}

/* What an error of sendmsg(2) means. 0: that message is done; -EAGAIN: try it again; else as
 * sink_send(). */
static int judge(struct session *session, unsigned d, int error, bool second)
{
	uint64_t capabilities = session_row(session, !d)->capabilities;
	enum fault fault = fault_of(error);

	assert(error > 0);
	if (d == 0 && fault > FAULT_SHORTAGE)
		roam_take_errors(session);
	switch (fault) {
	case FAULT_INTERRUPTED:
		return second ? blocked(session, d, false) : -EAGAIN;
	case FAULT_BLOCKED:
		/* A connected netlink socket reports that its peer's buffer is full, but never that
		 * there is room again. */
		return blocked(session, d,
			       capabilities & SPLICED_RELIABLE ||
				       !(capabilities & SPLICED_CONNECTIONLESS));
	case FAULT_SHORTAGE:
		return blocked(session, d, false);
	case FAULT_MESSAGE:
		sink_drop(session, DROPPED_OVERSIZE, 1);
		return 0;
	case FAULT_PEER:
	case FAULT_CALL:
		break;
	}
	if (!(capabilities & (SPLICED_CONNECTIONLESS | SPLICED_FEED)))
		return judge_connection(session, d, error);
	if (capabilities & SPLICED_RELIABLE && d == 0 &&
	    (error == ECONNREFUSED || error == ECONNRESET || error == ENOTCONN || error == EPIPE)) {
		/* The target may be back at its address. */
		session_record(session)->cursor = session_record(session)->target + 1;
		return SINK_RECONNECT;
	}
	if (d == 0 && fault == FAULT_PEER && mover_tell_lost(session, -error)) {
		if (!sink_will_repeat(session))
			sink_return(session, d);
		return SINK_RECONNECT;
	}
	if (error == ECONNREFUSED && (!second || absent_is_waited_for(session, d)) &&
	    !(capabilities & SPLICED_RELIABLE)) {
		sink_return(session, d);
		return absent_is_waited_for(session, d) ? RELAY_STARVED : -EAGAIN;
	}
	sink_drop(session, fault == FAULT_CALL ? DROPPED_CALL : DROPPED_UNREACHABLE, 1);
	return 0;
}

bool sink_will_repeat(const struct session *session)
{
	const struct ledger_flow *flow = session_flow(session);

	return flow->kept && flow->messages[0] == 1;
}

/* It was counted as sent the first time. */
static int judge_repeated(struct session *session, int error)
{
	int r = judge(session, 0, error, true);

	if (!r)
		tally_return(session, 0);
	return r;
}

int sink_repeat(struct session *session)
{
	struct ledger_flow *flow = session_flow(session);
	uint8_t bytes[LEDGER_KEPT_BYTES];
	struct iovec part = {.iov_base = bytes};
	struct mmsghdr header;
	int r = 0;

	if (!(flow->flags & FLOW_REPEAT))
		return 0;
	if (session_record(session)->state != SESSION_RELAYING || !session->side[1].writable)
		return RELAY_BLOCKED;
	if (first_message_read(session, bytes, &part.iov_len)) {
		aim(session, 0, &part, &header);
		if (sendmsg(session_fd(session, 1), &header.msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL) <
		    0)
			r = judge_repeated(session, errno);
		session->moved |= !r;
	} else {
		sink_return(session, 0);
	}
	if (!r)
		atomic_fetch_and(&flow->flags, ~(uint32_t)FLOW_REPEAT);
	return r;
}

/* Whether the only copy of a first message that could not be sent is the kept one: it is out of its
 * queue. */
static bool is_kept_alone(const struct session *session, unsigned d)
{
	return d == 0 && session_flow(session)->kept && !session_flow(session)->messages[0] &&
	       session_is_handed_in(session) && !session_blocks(session, 0);
}

/* For a file each write(2) is a message. */
static int send_batch(const struct session *session, unsigned d, struct mmsghdr *out,
		      unsigned count)
{
	int fd = session_fd(session, !d);
	ssize_t n;

	if (!(session_row(session, !d)->capabilities & SPLICED_FILE))
		return sendmmsg(fd, out, count, MSG_DONTWAIT | MSG_NOSIGNAL);
	for (unsigned i = 0; i < count; i++) {
		n = writev(fd, out[i].msg_hdr.msg_iov, (int)out[i].msg_hdr.msg_iovlen);
		if (n < 0)
			return i ? (int)i : -1;
		out[i].msg_len = (unsigned)n; /* as sendmmsg(2) does, for an heir */
	}
	return (int)count;
}

static int send_messages(struct session *session, unsigned d, const struct iovec *messages,
			 unsigned count, unsigned *taken)
{
	struct mmsghdr *out = session->thread->buffers->out;
	bool second = false, waits = absent_is_waited_for(session, d);
	int n, r;

	if (d == 0 && session->keeps && !session->begun && *taken < count) {
		session->begun = true;
		if (!session_flow(session)->messages[0] && !session_flow(session)->kept)
			first_message_add(session, &messages[*taken]);
	}
	while (*taken < count) {
		unsigned most = waits ? 1 : BUFFERS_BATCH,
			 batch = count - *taken < most ? count - *taken : most;
		uint64_t bytes = 0;

		for (unsigned i = 0; i < batch; i++)
			aim(session, d, &messages[*taken + i], &out[i]);
		tally_begin_batch(session, BATCH_SENT, d, batch);
		n = send_batch(session, d, out, batch);
		r = n > 0 && waits ? absent_look(session) : 0;
		tally_end(session->thread, n > 0 && !r ? (uint64_t)n : 0);
		if (r)
			return r;
		for (int i = 0; i < n; i++)
			bytes += messages[*taken + (unsigned)i].iov_len;
		if (n > 0) {
			session->moved = true;
			count_sent(session, d, (uint64_t)n, bytes);
			assert((unsigned)n <= batch);
			*taken += (unsigned)n;
			second = false;
			if (is_satisfied(session, d))
				return SINK_SATISFIED;
			continue;
		}
		r = judge(session, d, errno, second);
		if (r == SINK_RECONNECT && is_kept_alone(session, d)) {
			ledger_count(&session_counter(session)->messages[d], 1);
			count_sent(session, d, 1, messages[*taken].iov_len);
			++*taken;
		}
		if (r && r != -EAGAIN)
			return r;
		second = r == -EAGAIN;
		*taken += r == 0;
	}
	return 0;
}

/* Sends to a socket whose family checks each message first. */
static int send_judged(struct session *session, unsigned d, const struct iovec *messages,
		       unsigned count, unsigned *taken)
{
	const struct config_leg *leg = session_leg(session, !d);
	int r = 0;

	while (!r && *taken < count) {
		const struct iovec *message = &messages[*taken];
		unsigned sent = 0;

		if (CALLBACK(leg->family, may_send,
			     leg->family->plugin.may_send(&leg->options, message->iov_base,
							  message->iov_len)) < 0) {
			sink_drop(session, DROPPED_FORBIDDEN, 1);
			++*taken;
			continue;
		}
		r = send_messages(session, d, message, 1, &sent);
		*taken += sent;
	}
	return r;
}

int sink_send_messages(struct session *session, unsigned d, const struct iovec *messages,
		       unsigned count, unsigned *taken)
{
	if (session_row(session, !d)->capabilities & SPLICED_RECEIVE_ONLY)
		return send_judged(session, d, messages, count, taken);
	return send_messages(session, d, messages, count, taken);
}
