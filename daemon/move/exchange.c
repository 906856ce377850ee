/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The exchange. No message stays in user space between two turns: what cannot be forwarded stays in
 * the source's queue, or is dropped and counted.
 */
#include "move/exchange.h"

#include "base/assert.h"
#include "base/clock.h"
#include "config/config.h"
#include "move/format.h"
#include "move/mover.h"
#include "move/receive.h"
#include "move/relay.h"
#include "move/ring.h"
#include "move/roam.h"
#include "move/sink.h"
#include "move/sink_drop.h"
#include "move/sink_held.h"
#include "move/sink_message.h"
#include "move/source.h"
#include "move/stage.h"
#include "move/urgent.h"
#include "net/fault.h"
#include "net/framing.h"
#include "net/socket.h"
#include "session/buffers.h"
#include "session/direction.h"
#include "session/endpoint_socket.h"
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
	EXCHANGE_ROUNDS = 64, /* messages, or batches of them, a turn */
	EXCHANGE_BATCHES = 4,
	FRAMES_AT_ONCE = 16, /* consumed together from a stream towards a sink that may lose
				messages anyway */
};

static bool is_message(const struct session *session, unsigned side)
{
	return session_row(session, side)->capabilities & SPLICED_BOUNDARIES;
}

static bool is(const struct session *session, unsigned side, uint64_t capability)
{
	return session_row(session, side)->capabilities & capability;
}

bool exchange_gives_up(int fd, uint64_t now, uint64_t *stuck)
{
	assert(fd >= 0 && *stuck <= now);
	switch (socket_queue(fd)) {
	case SOCKET_QUEUE_CROWDED:
		return true;
	case SOCKET_QUEUE_HAS_ROOM:
		return false;
	case SOCKET_QUEUE_UNKNOWN:
		break;
	}
	if (!*stuck) {
		*stuck = now;
		return false;
	}
	if (now - *stuck < EXCHANGE_MOMENT_MS * NSEC_PER_MSEC)
		return false;
	*stuck = 0;
	return true;
}

/* The sink does not accept the message at the head of the queue. RELAY_BLOCKED: it waits there; 0:
 * it, or an older one, was dropped. */
static int overflow(struct session *session, unsigned s, int why)
{
	int fd = session_fd(session, s);

	assert(why != 0);
	if (why != RELAY_BLOCKED && why != RELAY_STARVED)
		return why;
	if (session->side[s].unpeekable || session->side[s].taken) {
		tally_receive(session, s, session->side[s].taken);
		session->side[s].taken = false;
		sink_drop(session, DROPPED_OVERFLOW, 1);
		return why;
	}
	switch ((enum config_overflow)session->side[s].overflow) {
	case OVERFLOW_AUTO:
	case OVERFLOW_BLOCK:
		return why;
	case OVERFLOW_DROP_OLD:
		if (!exchange_gives_up(fd, session->thread->loop.now, &session->side[s].stuck)) {
			session_look_again(session, session->thread->loop.now +
							    EXCHANGE_MOMENT_MS * NSEC_PER_MSEC);
			return why;
		}
		break;
	case OVERFLOW_DROP_NEW:
		break;
	}
	sink_drop(session, DROPPED_OVERFLOW, 1);
	return source_consume(session, s);
}

/* Handles what the source returned instead of a message: enum step_result. 0: it may have more. */
static int without_message(struct session *session, unsigned s, int said)
{
	if (said < 0)
		return said;
	switch ((enum source_result)said) {
	case SOURCE_NOTHING:
		return RELAY_BLOCKED;
	case SOURCE_END:
		return RELAY_DONE;
	case SOURCE_SHORT:
		return RELAY_STARVED;
	case SOURCE_MOVED:
		return SINK_RECONNECT;
	case SOURCE_LOST:
		return format_lost(session, s);
	case SOURCE_MESSAGE:
	case SOURCE_AGAIN:
	case SOURCE_REFUSED:
		break;
	}
	return 0;
}

/* ---- message sources ---- */

static int pass_on(struct session *session, unsigned s, const struct spliced_message *message)
{
	struct iovec part = {(void *)message->data, message->len};
	unsigned taken;

	if (session->side[s].format && !sink_is_void(session, s))
		return format_encode(session, s, message);
	return sink_send(session, s, &part, 1, &taken);
}

/* One message: peeked, sent, consumed. 0: continue; positive: enum step_result. */
static int move_peeked(struct session *session, unsigned s)
{
	struct spliced_message message;
	size_t len = 0;
	int r;

	assert(!session->side[s].owed && !session->side[s].ring);
	if (session->side[s].unpeekable && !sink_has_room(session, s))
		return RELAY_BLOCKED;
	r = source_peek(session, s, &message, &len);
	if (r == SOURCE_NOTHING) {
		r = format_resync(session, s, SPLICED_DRAINED);
		session->side[s].readable = r; /* what it had to say is still to be said */
		return r ? r : RELAY_BLOCKED;
	}
	if (r == SOURCE_REFUSED)
		return source_consume(session, s);
	if (r != SOURCE_MESSAGE)
		return without_message(session, s, r);
	if (len > BUFFERS_MESSAGE_MAX) {
		sink_drop(session, DROPPED_OVERSIZE, 1);
	} else {
		r = pass_on(session, s, &message);
		if (r == SINK_SATISFIED)
			source_consume(session, s);
		if (r)
			return overflow(session, s, r);
	}
	return source_consume(session, s);
}

/* Moves a message that was too large for the ring: it is the first in the socket's queue. */
static int move_large(struct session *session, unsigned s)
{
	struct spliced_message message;
	size_t len = 0;
	int r = source_peek(session, s, &message, &len);

	assert(session->side[s].ring);
	if (r < 0 || r == SOURCE_SHORT)
		return without_message(session, s, r);
	if (r == SOURCE_MESSAGE && len <= BUFFERS_MESSAGE_MAX) {
		struct iovec part = {(void *)message.data, message.len};
		unsigned taken;

		r = sink_send(session, s, &part, 1, &taken);
		if ((r == RELAY_BLOCKED || r == RELAY_STARVED) && !session_blocks(session, s)) {
			sink_drop(session, DROPPED_OVERFLOW, 1);
			r = 0;
		}
		if (r)
			return r;
	}
	r = source_consume(session, s);
	if (!session->side[s].owed)
		ring_consume(session, s, 1);
	return r;
}

/* Handles messages that are out of their queue and that sink_send() did not accept. */
static enum drop drop_reason(int r)
{
	if (r == SINK_SATISFIED)
		return DROPPED_UNEXPECTED;
	return r == RELAY_BLOCKED || r == RELAY_STARVED ? DROPPED_OVERFLOW : DROPPED_UNREACHABLE;
}

/* A batch of messages from a socket that may lose them anyway. */
static int move_batch(struct session *session, unsigned s)
{
	struct buffers *buffers = session->thread->buffers;
	unsigned count = 0, taken = 0;
	int n, r;

	assert(!session->side[s].format && !session->side[s].owed);
	tally_begin_batch(session, BATCH_TAKEN, s, BUFFERS_BATCH);
	n = receive_messages(buffers, session_fd(session, s), session_row(session, s),
			     BUFFERS_SLOT - BUFFERS_HEADROOM, BUFFERS_BATCH, 0);
	tally_end(session->thread, n > 0 ? (uint64_t)n : 0);
	if (n < 0)
		return without_message(session, s, source_judge(session, s, -n));
	session->moved |= n > 0;
	source_count_stripped(
		session, receive_count_stripped(buffers, session_row(session, s), (unsigned)n));
	for (int i = 0; i < n; i++) {
		struct spliced_message message = {.size = sizeof message,
						  .data = buffers->in_parts[i].iov_base,
						  .len = buffers->in[i].msg_len};

		if (buffers->in[i].msg_hdr.msg_flags & MSG_TRUNC)
			sink_drop(session, DROPPED_OVERSIZE, 1);
		else if (source_mend(session, s, &buffers->in[i].msg_hdr, &message) >= 0)
			buffers->messages[count++] =
				(struct iovec){(void *)message.data, message.len};
	}
	assert(n <= BUFFERS_BATCH && count <= (unsigned)n);
	r = count ? sink_send(session, s, buffers->messages, count, &taken) : 0;
	assert(taken <= count);
	sink_drop(session, drop_reason(r), count - taken);
	if (r == RELAY_BLOCKED || r == RELAY_STARVED)
		r = 0;
	if (!r && n < BUFFERS_BATCH) {
		session->side[s].readable = false;
		return RELAY_BLOCKED;
	}
	return r;
}

static bool takes_batches(const struct session *session, unsigned s)
{
	return session->side[s].overflow == OVERFLOW_DROP_NEW &&
	       !is(session, s, SPLICED_RELIABLE | SPLICED_FILE) && !session->side[s].format;
}

/* ---- stream sources ---- */

/* Reads and discards a stream up to EOF. */
static int discard(struct session *session, unsigned s)
{
	uint8_t *bytes = session->thread->buffers->bytes;
	int fd = session_fd(session, s);
	ssize_t n = is(session, s, SPLICED_FILE)
			    ? read(fd, bytes, BUFFERS_MESSAGE_MAX)
			    : recv(fd, bytes, BUFFERS_MESSAGE_MAX, MSG_DONTWAIT);

	assert(sink_is_void(session, s));
	session->moved |= n >= 0;
	if (n > 0) {
		tally_receive(session, s, 1);
		sink_drop(session, DROPPED_RECEIVE_ONLY, 1);
		return 0;
	}
	if (n == 0) {
		direction_note_end(session, s);
		return RELAY_DONE;
	}
	return without_message(session, s, source_judge(session, s, errno));
}

static ssize_t peek_stream(struct session *session, unsigned s, size_t at_most)
{
	uint8_t *bytes = session->thread->buffers->bytes;
	ssize_t n;

	assert(at_most <= sizeof session->thread->buffers->bytes);
	if (stage_is_used(session, s))
		return stage_peek(session, s, bytes, at_most);
	n = recv(session_fd(session, s), bytes, at_most, MSG_PEEK | MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

/* Consumes bytes of a stream that were peeked and sent: these, and those owed before.
 * RELAY_STARVED: they are owed. */
static int take_off(struct session *session, unsigned s, size_t bytes)
{
	uint8_t *scratch = session->thread->buffers->scratch;
	ssize_t n;

	assert(s < 2);
	session->moved |= bytes > 0;
	session->side[s].owed += (uint32_t)bytes;
	while (session->side[s].owed) {
		size_t part = session->side[s].owed < BUFFERS_SCRATCH ? session->side[s].owed
								      : BUFFERS_SCRATCH;

		n = stage_is_used(session, s)
			    ? stage_take(session, s, scratch, part)
			    : recv(session_fd(session, s), scratch, part, MSG_DONTWAIT);
		if (n == 0)
			return -EIO;
		if (n < 0)
			return fault_of(errno) <= FAULT_SHORTAGE ? RELAY_STARVED : -errno;
		assert((size_t)n <= part);
		session->side[s].owed -= (uint32_t)n;
	}
	return 0;
}

static int bad_frame(struct session *session, unsigned s, int error)
{
	assert(error < 0);
	tally_receive(session, s, 1);
	sink_drop(session, error == -EMSGSIZE ? DROPPED_OVERSIZE : DROPPED_FRAMING, 1);
	return EXCHANGE_BAD_FRAME;
}

static bool is_over(const struct session *session, unsigned s)
{
	return session->side[s].stage_end ||
	       (session->side[s].hangup && !stage_is_used(session, s) &&
		socket_said_fin(session_fd(session, s)));
}

/* EOF without a reset: after a reset an unterminated message was cut. */
static bool ended_well(const struct session *session, unsigned s)
{
	return is_over(session, s) &&
	       !(session_record(session)->direction[s].flags & DIRECTION_RESET) &&
	       !(socket_poll(session_fd(session, s), 0) & POLLERR);
}

/* There is no whole frame, only `len` bytes of one. */
static int wait_for_rest(struct session *session, unsigned s, size_t len)
{
	assert(!session->side[s].owed);
	if (len && !is_over(session, s)) {
		session->side[s].readable = session->side[s].stage_news = false;
		return RELAY_BLOCKED;
	}
	tally_receive(session, s, len > 0);
	sink_drop(session, DROPPED_FRAMING, len > 0);
	direction_note_end(session, s);
	/* Unread bytes would make close(2) a reset. */
	take_off(session, s, len);
	return RELAY_DONE;
}

/* A message longer than the sink can carry is refused by the sink; but a stream without framing is
 * cut to fit. */
static size_t frame_limit(const struct session *session, unsigned s)
{
	uint64_t most = session_row(session, !s)->max_message;

	assert(session->side[s].framing && session->side[s].max_frame);
	if (session->side[s].framing == SPLICED_FRAMING_NONE && most &&
	    most < session->side[s].max_frame)
		return most;
	return session->side[s].max_frame;
}

/* Whether the rest of a frame may never come while the `len` bytes of it stay in the socket.
 * MSG_PEEK stops at an urgent byte, and never gets past descriptors. How much a UNIX socket holds
 * depends on its sender's buffer, where each piece counts some 700 bytes more than its length, so
 * we cannot know when the sender blocks. A TCP socket may have a smaller buffer than requested. */
static bool is_held_up(struct session *session, unsigned s, size_t len)
{
	assert(len > 0);
	return !is(session, s, SPLICED_TCP_INFO) || urgent_hides(session, s, len) ||
	       socket_granted(session_fd(session, s), SOCKET_RECEIVES) <
		       endpoint_socket_least_rcvbuf(session_endpoint(session, s));
}

/* If the queue of a socket suffices for most frames, its stage is returned once it is empty. */
static void leave_stage(struct session *session, unsigned s)
{
	if (session->side[s].unpeeked && !session->side[s].owed && !session->side[s].stage_end &&
	    !is(session, s, SPLICED_TCP_INFO))
		session->side[s].unpeeked = !stage_give_back(session, s);
}

/* Whole frames: peeked, sent, consumed. */
static int move_frames(struct session *session, unsigned s)
{
	struct buffers *buffers = session->thread->buffers;
	size_t limit = frame_limit(session, s), at_most = 4 * limit, at = 0, ends[FRAMES_AT_ONCE],
	       bytes = 0;
	unsigned most = is(session, !s, SPLICED_RELIABLE) ? 1 : FRAMES_AT_ONCE, count = 0, taken;
	struct framing_found found;
	ssize_t n;
	int r = 1, sent;

	if (at_most > sizeof buffers->bytes)
		at_most = sizeof buffers->bytes;
	n = peek_stream(session, s, at_most);
	if (n < 0)
		return without_message(session, s, source_judge(session, s, (int)-n));
	while (count < most) {
		r = framing_decode(session->side[s].framing, buffers->bytes + at, (size_t)n - at,
				   limit, &found);
		if (r <= 0)
			break;
		at += found.consumed;
		ends[count] = at;
		buffers->messages[count++] = (struct iovec){(void *)found.message, found.len};
	}
	if (!count && !r && n && !stage_is_used(session, s) && is_held_up(session, s, (size_t)n)) {
		session->side[s].unpeeked = true;
		return 0;
	}
	if (!count && !r && n && ended_well(session, s) &&
	    framing_decode_rest(session->side[s].framing, buffers->bytes, (size_t)n, &found)) {
		ends[count] = (size_t)n;
		buffers->messages[count++] = (struct iovec){(void *)found.message, found.len};
	}
	if (!count)
		return r < 0 ? bad_frame(session, s, r) : wait_for_rest(session, s, (size_t)n);
	sent = sink_send(session, s, buffers->messages, count, &taken);
	if (taken)
		bytes = ends[taken - 1];
	if ((sent == RELAY_BLOCKED || sent == RELAY_STARVED) && !session_blocks(session, s)) {
		sink_drop(session, DROPPED_OVERFLOW, count - taken);
		taken = count;
		bytes = at;
		sent = 0;
	}
	tally_receive(session, s, taken);
	r = take_off(session, s, bytes);
	if (!r)
		leave_stage(session, s);
	return r ? r : sent;
}

/* ---- a step ---- */

static bool has(const struct session *session, unsigned d, uint32_t flag)
{
	return session_record(session)->direction[d].flags & flag;
}

/* Removes from the source's queue what was sent already, but could not be removed before. */
static int pay(struct session *session, unsigned s)
{
	int r = is_message(session, s) ? source_consume(session, s) : take_off(session, s, 0);

	if (session->side[s].ring && !session->side[s].owed)
		ring_consume(session, s, 1);
	return r;
}

static int move_once(struct session *session, unsigned s)
{
	if (session->side[s].owed)
		return pay(session, s);
	if (!is_message(session, s))
		return sink_is_void(session, s) ? discard(session, s) : move_frames(session, s);
	if (session->side[s].ring) {
		bool large;
		int r = ring_move(session, s, &large);

		return large ? move_large(session, s) : r;
	}
	return takes_batches(session, s) ? move_batch(session, s) : move_peeked(session, s);
}

/* EOF of the source, and all data is in the sink. A connectionless sink cannot be sent EOF. */
static int end(struct session *session, unsigned d)
{
	assert(has(session, d, DIRECTION_EOF));
	assert(!session->direction[d].fill);
	if (has(session, d, DIRECTION_RESET))
		return RELAY_SOURCE_RESET;
	if (session->side[!d].receive_only ||
	    is(session, !d, SPLICED_CONNECTIONLESS | SPLICED_FEED)) {
		session_record(session)->direction[d].flags |= DIRECTION_FIN_SENT;
		return RELAY_DONE;
	}
	return relay_finish(session, d);
}

/* Whether there is anything to move: while the sink accepts nothing, only a source whose messages
 * are then dropped. */
static bool may_move(const struct session *session, unsigned d)
{
	return (session->side[d].readable || session->side[d].stage_news) &&
	       !has(session, d, DIRECTION_EOF);
}

static int exchange_step(struct session *session, unsigned d)
{
	int rounds = takes_batches(session, d) ? EXCHANGE_BATCHES : EXCHANGE_ROUNDS;
	int r;

	assert(d < 2 && session->exchanges);
	assert(!session->thread->buffers->in_hand);
	assert(thread_is_self(session->thread));
	assert(session_record(session)->state == SESSION_RELAYING);
	if (has(session, d, DIRECTION_FIN_SENT))
		return has(session, d, DIRECTION_RESET) ? RELAY_SOURCE_RESET : RELAY_DONE;
	if (session_is_gone(session, !d)) {
		if (d == 0)
			mover_pass_on(session);
		direction_discard_pipe(session, d);
		return RELAY_SINK_RESET;
	}
	r = sink_drain(session, d);
	if (r < 0 || r == RELAY_SINK_RESET)
		return r;
	if (d == 0 && session_is_handed_in(session))
		return r ? r : RELAY_BLOCKED;
	if (!r)
		r = session->side[!d].writable ? format_greet(session, d) : RELAY_BLOCKED;
	if (r && (session_blocks(session, d) || r != RELAY_BLOCKED))
		return r;
	for (r = 0; !r && may_move(session, d); rounds--) {
		if (!rounds)
			return RELAY_MORE;
		thread_beat(session->thread);
		r = move_once(session, d);
	}
	if (r && r != RELAY_DONE)
		return r;
	if (!has(session, d, DIRECTION_EOF))
		return RELAY_BLOCKED;
	return session->direction[d].fill ? RELAY_BLOCKED : end(session, d);
}

static int prepare(struct session *session, unsigned side)
{
	assert(side < 2);
	if (session_fd(session, side) >= 0)
		receive_prepare(session_fd(session, side), session_row(session, side));
	/* A file has no MSG_PEEK. */
	if (is_message(session, side) && is(session, side, SPLICED_FILE))
		session->side[side].unpeekable = true;
	return ring_map(session, side);
}

const struct mover exchange_mover = {
	.prepare = prepare,
	.adopt = sink_adopt,
	.step = exchange_step,
	.discard = ring_unmap,
};
