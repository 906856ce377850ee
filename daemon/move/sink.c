/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sinks. What surprised us about the kernel: a UDP socket reports the ICMP error of an earlier
 * datagram at the next call, which then did nothing: it is called again. A UNIX datagram socket
 * whose peer has died says ECONNREFUSED for ever, also when a new socket has taken the peer's name:
 * it must be connected anew. And only a connected socket tells when there is room again: the others
 * are asked from time to time.
 */
#include "move/sink.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "move/absent.h"
#include "move/mover.h"
#include "move/relay.h"
#include "move/roam.h"
#include "net/callback.h"
#include "net/fault.h"
#include "net/framing.h"
#include "net/socket.h"
#include "session/buffers.h"
#include "session/direction.h"
#include "session/first_message.h"
#include "session/lane.h"
#include "session/session.h"
#include "session/tally.h"
#include "session/thread.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	POLL_MS = 2, /* before a sink that cannot tell is asked again, doubled each time that it
			takes nothing, */
	POLL_DOUBLINGS = 5,	/* so often */
	HELD_BYTES = 128 << 10, /* of messages for a target that is being connected */
};

void sink_drop(struct session *session, enum drop why, uint64_t count)
{
	assert(why < DROPPED_REASONS);
	ledger_count(&session_counter(session)->dropped[why], count);
}

void sink_return(struct session *session, unsigned d)
{
	/* Nothing has left yet: the error was the next message's own. */
	if (!session_flow(session)->messages[d])
		return;
	tally_return(session, d);
	sink_drop(session, DROPPED_UNREACHABLE, 1);
}

bool sink_is_void(const struct session *session, unsigned d)
{
	return session->side[!d].receive_only;
}

/* Once a route and thread: the counter tells of the others. */
static void warn_of_answer(const struct session *session)
{
	if (!atomic_load(&session_counter(session)->dropped[DROPPED_UNEXPECTED]))
		log_warning("route %s: target %s sends replies, but replies = 0: they are dropped",
			    session->route->name,
			    session->route->targets[session_record(session)->target].name);
}

/* Why a message is dropped before it is sent, or -1. */
static int find_drop(const struct session *session, unsigned d)
{
	if (sink_is_void(session, d))
		return DROPPED_RECEIVE_ONLY;
	if (d == 0 && session->leads_back)
		return DROPPED_LOOP;
	if (d == 0 || !session_is_handed_in(session))
		return -1;
	if (session->route->replies == 0) {
		warn_of_answer(session);
		return DROPPED_UNEXPECTED;
	}
	return session_flow(session)->peer_len ? -1 : DROPPED_UNNAMED;
}

/* The route's count has them already. */
static void count_sent(struct session *session, unsigned d, uint64_t messages, uint64_t bytes)
{
	assert(messages > 0);
	session->direction[d].polls = 0;
	if (d == 0 && !session->proven)
		mover_tell_sent(session);
	ledger_count(&session_flow(session)->messages[d], messages);
	ledger_count((_Atomic uint64_t *)&session_record(session)->direction[d].bytes, bytes);
}

/* Whether the peer of a datagram session has got as many replies as its messages ask for. */
static bool is_satisfied(const struct session *session, unsigned d)
{
	const struct ledger_flow *flow = session_flow(session);
	int64_t replies = session->route->replies;

	return d == 1 && replies > 0 && session_is_handed_in(session) &&
	       flow->messages[1] >= flow->messages[0] * (uint64_t)replies;
}

/* ---- message sockets ---- */

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

/* As judge(), of a socket whose connection ends with this error, unless another target takes over.
 */
static int judge_connection(struct session *session, unsigned d, int error)
{
	enum fault fault = fault_of(error);

	/* A device that is down, or a message that it does not understand. */
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

/* What an error of sendmsg(2) means. 0: that message is done with; -EAGAIN: try it again; else as
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
		/* A connected netlink socket says that its peer's buffer is full, and never that
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
		/* It may be back at its address. */
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

/* It was counted as sent when it was the first time. */
static int judge_repeated(struct session *session, int error)
{
	int r = judge(session, 0, error, true);

	if (!r)
		tally_return(session, 0);
	return r;
}

/* What was kept goes to the member of the pool that is connected now, before anything else. It is
 * counted already. 0; or as sink_send(). */
static int repeat(struct session *session)
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

/* Whether a first message that could not be sent is kept, and nowhere else: it is out of its
 * queue. */
static bool is_kept_alone(const struct session *session, unsigned d)
{
	return d == 0 && session_flow(session)->kept && !session_flow(session)->messages[0] &&
	       session_is_handed_in(session) && !session_blocks(session, 0);
}

/* Of a file each write(2) is a message. */
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

/* To a socket whose family looks at each message first. */
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

/* Nothing may follow a message that was cut: release() leaves it out. */
static void close_up(struct session *session, unsigned d)
{
	session->direction[d].fill = HELD_BYTES;
}

/* What comes from peers that cannot be held back, while the target is being connected: it waits in
 * a pipe, each message behind its length. */
static int hold(struct session *session, unsigned d, const struct iovec *messages, unsigned count,
		unsigned *taken)
{
	ssize_t n;

	if (!direction_borrow_pipe(session, d, HELD_BYTES))
		return RELAY_STARVED;
	for (; *taken < count; ++*taken) {
		uint32_t len = (uint32_t)messages[*taken].iov_len;
		struct iovec parts[] = {{&len, sizeof len}, messages[*taken]};

		/* One page may be shared with what was written before. */
		if (session->direction[d].fill + sizeof len + len > HELD_BYTES - PIPE_SLOT_BYTES)
			return RELAY_BLOCKED;
		tally_put(session, d, 1, sizeof len + len);
		n = writev(session_record(session)->direction[d].pipe, parts, 2);
		tally_was_put(session, d, n == (ssize_t)(sizeof len + len));
		if (n < 0)
			return RELAY_STARVED;
		if (n != (ssize_t)(sizeof len + len)) {
			close_up(session, d);
			return RELAY_STARVED;
		}
		session->direction[d].fill += (uint32_t)n;
	}
	return 0;
}

/* The next whole message of those that were held. False: there is none; *at is then behind the last
 * that is whole. */
static bool next_held(uint8_t *bytes, size_t n, size_t *at, struct iovec *ret)
{
	uint32_t len;

	assert(*at <= n);
	if (n - *at < sizeof len)
		return false;
	memcpy(&len, bytes + *at, sizeof len);
	if (len > n - *at - sizeof len)
		return false;
	*ret = (struct iovec){bytes + *at + sizeof len, len};
	*at += sizeof len + len;
	return true;
}

bool sink_next_waiting(const struct session *session, uint8_t *bytes, size_t n, size_t *at,
		       struct iovec *ret)
{
	struct framing_found found;

	if (!session->side[1].framing)
		return next_held(bytes, n, at, ret);
	if (n == *at || framing_decode(session->side[1].framing, bytes + *at, n - *at,
				       session->side[1].max_frame, &found) <= 0)
		return false;
	*ret = (struct iovec){(void *)found.message, found.len};
	*at += found.consumed;
	return true;
}

/* One that was held. 1: it is done with; 0: there is no room for it, nor for others. */
static unsigned release_one(struct session *session, unsigned d, const struct iovec *message,
			    int *r)
{
	unsigned taken = 0;

	if (!*r)
		*r = sink_send(session, d, message, 1, &taken);
	if (!taken && *r && *r != RELAY_BLOCKED && *r != RELAY_STARVED && lane_is(session))
		taken = mover_offer(session, message, 1);
	return taken;
}

/* All of it at once: these are messages that may be lost, and are if the sink has no room for so
 * many. */
static int release(struct session *session, unsigned d)
{
	uint8_t *bytes = buffers_aside(session->thread->buffers);
	uint32_t held = session->direction[d].fill;
	struct iovec message;
	unsigned taken;
	size_t at = 0;
	ssize_t n;
	int r = 0;

	assert(held > 0);
	tally_take(session, d, UINT32_MAX, held);
	n = read(session_record(session)->direction[d].pipe, bytes, BUFFERS_ASIDE);
	if (n < 0 && errno != EAGAIN) {
		tally_was_taken(session, d, false);
		session_retry(session);
		return RELAY_STARVED;
	}
	session->direction[d].fill = 0;
	session->moved = true;
	while (n > 0 && next_held(bytes, (size_t)n, &at, &message)) {
		taken = release_one(session, d, &message, &r);
		tally_let_go(session, d, 1);
		sink_drop(session, DROPPED_OVERFLOW, !taken);
	}
	tally_lose_held(session, d);
	tally_was_taken(session, d, true);
	/* Whatever may be left in it is nobody else's. */
	if (n != (ssize_t)held)
		direction_discard_pipe(session, d);
	return r;
}

void sink_adopt(struct session *session, unsigned d)
{
	uint8_t *bytes = session->thread->buffers->scratch;
	struct iovec message;
	size_t at = 0;
	ssize_t n;

	if (!session->direction[d].fill || session->side[!d].framing || !session->exchanges)
		return;
	n = pipe_look(&session->thread->pipes, session_record(session)->direction[d].pipe,
		      session->direction[d].pipe_size, bytes, session->direction[d].fill);
	while (n > 0 && next_held(bytes, (size_t)n, &at, &message))
		;
	if (n != (ssize_t)session->direction[d].fill || at != (size_t)n)
		close_up(session, d);
}

static int drain(struct session *session, unsigned d)
{
	int r = relay_drain_pipe(session, d);

	if (!r && session->exchanges)
		tally_send_held(session, d);
	return r;
}

int sink_drain(struct session *session, unsigned d)
{
	int r = d == 0 ? repeat(session) : 0;

	if (r)
		return r;
	if (session->direction[d].fill) {
		if (session_record(session)->state != SESSION_RELAYING ||
		    !session->side[!d].writable)
			return RELAY_BLOCKED;
		if (session->side[!d].framing || !session->exchanges)
			r = drain(session, d);
		else
			r = release(session, d);
	}
	if (!r && session_record(session)->direction[d].pipe >= 0)
		direction_give_pipe_back(session, d);
	return r;
}

/* ---- streams ---- */

/* The frames that go into an empty pipe by one writev(2). */
struct gathered {
	unsigned parts;
	size_t bytes, scratch;
	uint64_t messages, payload;
	uint64_t oversize, unfit; /* messages that are left out */
};

static bool has_room(const struct gathered *gathered, size_t scratch)
{
	return gathered->parts + FRAMING_PARTS <= BUFFERS_BATCH * FRAMING_PARTS &&
	       gathered->scratch + scratch <= BUFFERS_SCRATCH;
}

/* Adds a message's frame. 1: added, or dropped; 0: no room for it now. */
static int gather(struct session *session, unsigned d, const struct iovec *message,
		  size_t pipe_size, struct gathered *gathered)
{
	struct buffers *buffers = session->thread->buffers;
	size_t scratch, bytes = 0;
	struct iovec *parts = &buffers->parts[gathered->parts];
	int n;

	assert(gathered->parts <= BUFFERS_BATCH * FRAMING_PARTS);
	if (message->iov_len > session->side[!d].max_frame) {
		gathered->oversize++;
		return 1;
	}
	scratch = framing_scratch(session->side[!d].framing, message->iov_len);
	if (!has_room(gathered, scratch))
		return 0;
	n = framing_encode(session->side[!d].framing, message->iov_base, message->iov_len,
			   session->side[!d].max_frame, buffers->scratch + gathered->scratch,
			   parts);
	if (n < 0) {
		*(n == -EMSGSIZE ? &gathered->oversize : &gathered->unfit) += 1;
		return 1;
	}
	for (int i = 0; i < n; i++)
		bytes += parts[i].iov_len;
	if (gathered->bytes + bytes > pipe_size)
		return 0;
	gathered->parts += (unsigned)n;
	gathered->bytes += bytes;
	gathered->scratch += scratch;
	gathered->messages++;
	gathered->payload += message->iov_len;
	return 1;
}

/* All of it into the pipe, which is empty, or nothing: where the kernel had no memory for the rest,
 * what is in the pipe would be a cut frame. Nothing of it has left yet. */
static int put(struct session *session, unsigned d, const struct gathered *gathered)
{
	ssize_t n = 0;

	assert(!session->direction[d].fill);
	if (gathered->bytes) {
		tally_put(session, d, gathered->messages, gathered->bytes);
		n = writev(session_record(session)->direction[d].pipe,
			   session->thread->buffers->parts, (int)gathered->parts);
		tally_was_put(session, d, n == (ssize_t)gathered->bytes);
	} else {
		/* Messages without bytes, and nothing to tell them apart. */
		ledger_count(&session_counter(session)->messages[d], gathered->messages);
	}
	if (n < 0)
		return fault_of(errno) <= FAULT_SHORTAGE ? RELAY_STARVED : -errno;
	if (n != (ssize_t)gathered->bytes) {
		direction_discard_pipe(session, d);
		return RELAY_STARVED;
	}
	session->direction[d].fill = (uint32_t)n;
	session->put = d ? session->put : (uint32_t)n;
	session->moved = true;
	ledger_count(&session_flow(session)->messages[d], gathered->messages);
	sink_drop(session, DROPPED_OVERSIZE, gathered->oversize);
	sink_drop(session, DROPPED_FRAMING, gathered->unfit);
	return 0;
}

static int send_frames(struct session *session, unsigned d, const struct iovec *messages,
		       unsigned count, unsigned *taken)
{
	int r = sink_drain(session, d);

	while (!r && *taken < count) {
		struct gathered gathered = {0};
		unsigned before = *taken;

		if (!direction_borrow_pipe(session, d, session->side[!d].max_frame))
			return RELAY_STARVED;
		while (*taken < count && gather(session, d, &messages[*taken],
						session->direction[d].pipe_size, &gathered))
			++*taken;
		assert_costly(assert_bytes_in(session_record(session)->direction[d].pipe) == 0);
		r = put(session, d, &gathered);
		if (r) {
			*taken = before;
			return r;
		}
		r = sink_drain(session, d);
	}
	/* What is in the pipe is on its way; a shortage there is looked at again. */
	if (*taken == count && (r == RELAY_BLOCKED || r == RELAY_STARVED))
		return 0;
	return r;
}

int sink_send(struct session *session, unsigned d, const struct iovec *messages, unsigned count,
	      unsigned *taken)
{
	int why = find_drop(session, d), r;

	assert(d < 2 && count <= BUFFERS_BATCH);
	*taken = 0;
	if (d == 1 && !session->proven)
		mover_tell_proven(session);
	if (d == 0)
		session->moves_left = session->route->n_targets - 1;
	if (why >= 0) {
		sink_drop(session, (enum drop)why, count);
		*taken = count;
		return 0;
	}
	if (session->side[!d].framing)
		return send_frames(session, d, messages, count, taken);
	if (session_record(session)->state != SESSION_RELAYING)
		return session_blocks(session, d) ? RELAY_BLOCKED
						  : hold(session, d, messages, count, taken);
	if (!session->side[!d].writable)
		return RELAY_BLOCKED;
	r = d == 0 ? repeat(session) : 0;
	if (r)
		return r;
	if (session_row(session, !d)->capabilities & SPLICED_RECEIVE_ONLY)
		return send_judged(session, d, messages, count, taken);
	return send_messages(session, d, messages, count, taken);
}
