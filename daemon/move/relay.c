/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The relay. It owns the pipe while bytes are in it; the record has the pipe from before the first
 * byte enters until after the last has left. What surprised us about the kernel:
 *
 *   - After a reset, one call reports it and the next read returns 0, as after a FIN: hence the
 *     check of TCP_INFO, and the RESET flag in the record. EPIPE instead of ECONNRESET means that a
 *     FIN came before the reset.
 *   - A splice that moves less than asked for proves that the source is empty only if the pipe
 *     cannot have run out of slots: every piece uses one, even a single byte.
 *   - ... and only where nothing else ends a read early: on a UNIX stream each piece that was sent
 *     with descriptors does, and, where they were asked for, a change of the sender's credentials.
 *   - Data received before a reset can still be read after it, and is forwarded, as on a direct
 *     connection.
 */
#include "move/relay.h"

#include "base/assert.h"
#include "ledger/generation.h"
#include "move/mover.h"
#include "move/urgent.h"
#include "net/family.h"
#include "net/fault.h"
#include "net/socket.h"
#include "session/direction.h"
#include "session/session.h"
#include "session/tally.h"
#include "session/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

enum {
	RELAY_CHUNK = 512 << 10, /* bytes requested at once */
	RELAY_ROUNDS = 4,	 /* chunks a turn */
};

static bool has(const struct ledger_direction *direction, uint32_t flag)
{
	return direction->flags & flag;
}

/* A read of the source returned 0: after a FIN, or after a reset? */
static void note_end(struct session *session, unsigned d)
{
	struct ledger_session *record = session_record(session);
	struct ledger_direction *direction = &record->direction[d];

	assert(!has(direction, DIRECTION_EOF));
	/* A FIN of ours that the source has seen explains the state CLOSE; otherwise only a reset
	 * does, and that is reported (EPOLLERR). After FIN and reset the read returns 0 as after a
	 * FIN alone, and the reset is still pending. */
	if (session->side[d].failed && !has(direction, DIRECTION_RESET) &&
	    !has(&record->direction[!d], DIRECTION_FIN_SENT) &&
	    session_row(session, d)->capabilities & SPLICED_TCP_INFO &&
	    socket_tcp_state(record->fd[d]) == SOCKET_TCP_CLOSE)
		direction_note_reset(session, d, -socket_take_error(record->fd[d]));
	direction->flags |= DIRECTION_EOF;
	session->moved = true;
}

/* The source returned nothing. 0: it may be read again, or its end is noted; else as
 * relay_step(). */
static int read_failed(struct session *session, unsigned d, int error)
{
	assert(error > 0);
	if (session_row(session, d)->capabilities & SPLICED_FILE)
		error = socket_file_error(session_fd(session, d), error);
	switch (fault_of(error)) {
	case FAULT_BLOCKED:
		session_believe_unreadable(session, d);
		return 0;
	case FAULT_INTERRUPTED:
	case FAULT_SHORTAGE:
		return RELAY_STARVED;
	case FAULT_MESSAGE:
	case FAULT_PEER:
		direction_note_reset(session, d, error);
		session_record(session)->direction[d].flags |= DIRECTION_EOF;
		return 0;
	case FAULT_CALL:
		break;
	}
	return -error;
}

/* Whether nothing was moved, maybe because of an urgent byte. */
static bool stopped_early(const struct session *session, unsigned d, ssize_t n)
{
	return n == 0 || (n < 0 && errno == EAGAIN && session->side[d].urgent);
}

/* Whether a read that returned less than requested left something. */
static bool has_more(const struct session *session, unsigned d)
{
	return session->side[d].hangup || session->side[d].urgent ||
	       session_row(session, d)->capabilities & SPLICED_FILE ||
	       (session_row(session, d)->capabilities & SPLICED_PASSES_FDS &&
		socket_unread(session_fd(session, d)) > 0);
}

/* Source to pipe. 0: continue with the pipe; positive: as relay_step(). */
static int fill_pipe(struct session *session, unsigned d)
{
	struct ledger_session *record = session_record(session);
	uint32_t slots;
	ssize_t n;
	int r;

	assert(!session->direction[d].fill);
	assert(!has(&record->direction[d], DIRECTION_EOF));
	if (!direction_borrow_pipe(session, d, 0))
		return RELAY_STARVED;
	assert(record->direction[d].pipe >= 0);
	n = splice(record->fd[d], NULL, record->direction[d].pipe, NULL,
		   session->direction[d].proof ? PIPE_SMALL_BYTES : RELAY_CHUNK,
		   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (stopped_early(session, d, n)) {
		r = urgent_take(session, d, record->direction[d].pipe, &session->direction[d].fill,
				false);
		if (r != URGENT_NONE)
			return r == URGENT_NO_ROOM ? RELAY_STARVED : 0;
		errno = EAGAIN;
	}
	if (n > 0) {
		session->moved = true;
		assert(n <= RELAY_CHUNK);
		session->direction[d].fill = (uint32_t)n;
		slots = session->direction[d].pipe_size / PIPE_SLOT_BYTES;
		if (n < slots && !has_more(session, d))
			session->side[d].readable = false;
		return 0;
	}
	if (n < 0)
		return read_failed(session, d, errno);
	note_end(session, d);
	return 0;
}

/* The sink accepted nothing: why, as relay_step(). */
static int write_failed(struct session *session, unsigned d, int error)
{
	int pending;

	assert(error > 0 && session->direction[d].fill);
	if (session_row(session, !d)->capabilities & SPLICED_FILE)
		error = socket_file_error(session_fd(session, !d), error);
	switch (fault_of(error)) {
	case FAULT_BLOCKED:
		session_believe_unwritable(session, !d);
		session->direction[d].proof = session->direction[d].proof ? LEASE_PROOF : 0;
		lease_note(session, d);
		return RELAY_BLOCKED;
	case FAULT_INTERRUPTED:
	case FAULT_SHORTAGE:
		session_retry(session);
		return RELAY_STARVED;
	case FAULT_MESSAGE:
	case FAULT_PEER:
		/* UNIX sockets refuse writes with EPIPE, even if reads report another error. */
		pending = socket_take_error(session_record(session)->fd[!d]);
		direction_note_reset(session, !d, pending ? -pending : error);
		return RELAY_SINK_RESET;
	case FAULT_CALL:
		break;
	}
	return -error;
}

int relay_drain_pipe(struct session *session, unsigned d)
{
	struct ledger_session *record = session_record(session);
	struct ledger_direction *direction = &record->direction[d];
	struct direction *flow = &session->direction[d];
	ssize_t n;

	assert(d < 2);
	assert(!flow->fill || direction->pipe >= 0);
	assert_costly(!flow->fill || assert_bytes_in(direction->pipe) == (int)flow->fill);
	while (flow->fill) {
		n = splice(direction->pipe, NULL, record->fd[!d], NULL, flow->fill,
			   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
		if (n <= 0)
			return write_failed(session, d, n < 0 ? errno : EPIPE);
		session->moved = true;
		assert((size_t)n <= flow->fill);
		flow->fill -= (uint32_t)n;
		ledger_count((_Atomic uint64_t *)&direction->bytes, (uint64_t)n);
		flow->proof -= (size_t)n < flow->proof ? (uint32_t)n : flow->proof;
	}
	return 0;
}

/* The last FIN of a TCP session: both sides have been read to their end, and close(2), which
 * follows at once, sends FIN. */
static bool close_says_it(const struct session *session, unsigned d)
{
	return has(&session_record(session)->direction[!d], DIRECTION_FIN_SENT) &&
	       session_row(session, !d)->capabilities & SPLICED_TCP_INFO;
}

/* A sink that is no longer connected was reset, and will report that itself. */
static int say_end(struct session *session, unsigned d)
{
	int fd = session_record(session)->fd[!d];

	assert(has(&session_record(session)->direction[d], DIRECTION_FIN_SENT));
	assert(!session->direction[d].fill);
	if (!shutdown(fd, SHUT_WR) || (fault_of(errno) == FAULT_PEER && socket_said_fin(fd)))
		return RELAY_DONE;
	return -errno;
}

int relay_finish(struct session *session, unsigned d)
{
	struct ledger_direction *direction = &session_record(session)->direction[d];

	assert(has(direction, DIRECTION_EOF) || has(direction, DIRECTION_FIN_SENT));
	assert(!session->direction[d].fill || has(direction, DIRECTION_FIN_SENT));
	if (has(direction, DIRECTION_RESET))
		return RELAY_SOURCE_RESET;
	if (has(direction, DIRECTION_FIN_SENT))
		return RELAY_DONE;
	direction->flags |= DIRECTION_FIN_SENT;
	session->moved = true;
	/* Elsewhere shutdown(2) would end both directions: remaining data of the other direction
	 * gets a moment, session_serve.c. */
	if (session_row(session, !d)->capabilities & SPLICED_HALF_CLOSE &&
	    !close_says_it(session, d))
		return say_end(session, d);
	return RELAY_DONE;
}

/* Fills and drains in turn. 0: the source has no more now, and the pipe is empty; else as
 * relay_step(). */
static int move(struct session *session, unsigned d)
{
	struct ledger_direction *direction = &session_record(session)->direction[d];
	int r;

	assert(session_record(session)->state == SESSION_RELAYING);
	if (session->direction[d].fill && !session->side[!d].writable)
		return RELAY_BLOCKED;
	r = relay_drain_pipe(session, d);
	for (int round = 0; !r && session->side[d].readable && !has(direction, DIRECTION_EOF);
	     round++) {
		if (round == RELAY_ROUNDS)
			return RELAY_MORE;
		r = fill_pipe(session, d);
		if (!r)
			r = relay_drain_pipe(session, d);
	}
	return r;
}

static int relay_step(struct session *session, unsigned d)
{
	struct ledger_direction *direction = &session_record(session)->direction[d];
	int r;

	assert(d < 2 && !session->exchanges);
	assert(thread_is_self(session->thread));
	assert(session_record(session)->fd[0] >= 0 && session_record(session)->fd[1] >= 0);
	if (has(direction, DIRECTION_FIN_SENT))
		return relay_finish(session, d);
	if (session_is_gone(session, !d)) {
		direction_discard_pipe(session, d);
		return RELAY_SINK_RESET;
	}
	r = move(session, d);
	if (direction->pipe >= 0 && !session->direction[d].fill)
		direction_give_pipe_back(session, d);
	if (r)
		return r;
	assert(!session->direction[d].fill && direction->pipe < 0);
	return has(direction, DIRECTION_EOF) ? relay_finish(session, d) : RELAY_BLOCKED;
}

static int prepare(struct session *session, unsigned side)
{
	(void)session, (void)side;
	return 0;
}

/* A relay's pipes are adopted as they are. */
static void adopt(struct session *session, unsigned d)
{
	(void)session, (void)d;
}

static void discard(struct session *session)
{
	(void)session;
}

const struct mover relay_mover = {
	.prepare = prepare,
	.adopt = adopt,
	.step = relay_step,
	.discard = discard,
};
