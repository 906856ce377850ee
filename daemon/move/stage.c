/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stage. What surprised us: a pipe uses a slot for each received piece, however short, so that
 * a device that sends byte by byte fills it with a few of them. Its contents are then written into
 * another pipe in one piece, and that pipe is recorded: the bytes are never only in memory.
 */
#include "move/stage.h"

#include "base/assert.h"
#include "config/config.h"
#include "move/urgent.h"
#include "net/fault.h"
#include "net/socket.h"
#include "session/buffers.h"
#include "session/direction.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

bool stage_is_used(const struct session *session, unsigned s)
{
	assert(s < 2);
	return session->side[s].framing &&
	       (session_row(session, s)->capabilities & (SPLICED_SHORT_PEEK | SPLICED_FILE) ||
		session->side[s].unpeeked || session_record(session)->stage[s] >= 0);
}

static int *stage_of(struct session *session, unsigned s)
{
	return &session_record(session)->stage[s];
}

static int set_up(struct session *session, unsigned s, size_t at_most)
{
	int *stage = stage_of(session, s);
	int fd;

	assert(at_most > 0);
	if (*stage >= 0)
		return 0;
	fd = pipe_lend(&session->thread->pipes,
		       at_most < PIPE_LARGE_BYTES ? (uint32_t)at_most : PIPE_LARGE_BYTES,
		       &session->side[s].stage_size);
	if (fd < 0)
		return -EMFILE;
	assert(fd != session_record(session)->direction[s].pipe && fd != *stage_of(session, !s));
	assert(!session->side[s].staged);
	*stage = fd;
	session->side[s].staged = 0;
	return 0;
}

bool stage_give_back(struct session *session, unsigned s)
{
	int *stage = stage_of(session, s), fd = *stage;

	assert(s < 2);
	if (fd < 0 || session->side[s].staged)
		return fd < 0;
	*stage = -1;
	session->side[s].stage_news = false;
	pipe_return(&session->thread->pipes, fd, session->side[s].stage_size);
	return true;
}

/* Copies all of it, or at_most bytes, into memory; it also stays in the stage. */
static ssize_t look(struct session *session, unsigned s, uint8_t *bytes, size_t at_most)
{
	assert(*stage_of(session, s) >= 0);
	return pipe_look(&session->thread->pipes, *stage_of(session, s),
			 session->side[s].stage_size, bytes, at_most);
}

static int compact(struct session *session, unsigned s)
{
	int *stage = stage_of(session, s);
	struct pipes *pipes = &session->thread->pipes;
	uint8_t *bytes = session->thread->buffers->bytes;
	ssize_t n = look(session, s, bytes, session->side[s].staged);
	uint32_t size, old_size = session->side[s].stage_size;
	int old = *stage, fresh;

	assert(old >= 0);
	if (n < 0)
		return (int)n;
	fresh = pipe_lend(pipes, session->side[s].stage_size, &size);
	if (fresh < 0)
		return -EMFILE;
	if (n != (ssize_t)session->side[s].staged || write(fresh, bytes, (size_t)n) != n) {
		pipe_discard(pipes, fresh, size);
		return -ENOMEM;
	}
	session->side[s].stage_size = size;
	assert_costly(assert_bytes_in(fresh) == (int)session->side[s].staged);
	*stage = fresh;
	pipe_discard(pipes, old, old_size);
	return 0;
}

/* Until the source has no more, or there is no room. 0 or negative errno. */
static int fill(struct session *session, unsigned s)
{
	int fd = session_fd(session, s), r = 0;
	bool compacted = false;

	while (!r && session->side[s].staged < session->side[s].stage_size) {
		ssize_t n = splice(fd, NULL, *stage_of(session, s), NULL,
				   session->side[s].stage_size - session->side[s].staged,
				   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

		if (n > 0) {
			session->side[s].staged += (uint32_t)n;
			session->side[s].stage_news = session->moved = true;
			compacted = false;
			continue;
		}
		if (n == 0 || errno == EAGAIN) {
			int taken = urgent_take(session, s, *stage_of(session, s),
						&session->side[s].staged, true);

			if (taken == URGENT_UNSETTLED)
				return -ENOMEM; /* as if there were none: a moment later */
			if (taken == URGENT_MOVED) {
				session->side[s].stage_news = true;
				continue;
			}
			n = taken == URGENT_NO_ROOM ? -1 : n;
			errno = EAGAIN;
		}
		if (n == 0) {
			session->side[s].stage_end = true;
			return 0;
		} else if (fault_of(socket_file_error(fd, errno)) == FAULT_PEER) {
			direction_note_reset(session, s, errno);
			session->side[s].stage_end = true;
			return 0;
		} else if (errno != EAGAIN) {
			r = -errno;
		} else if (!(socket_poll(fd, POLLIN) & POLLIN)) {
			session->side[s].readable = false;
			return 0;
		} else if (compacted) {
			return 0;
		} else {
			r = compact(session, s);
			compacted = true;
		}
	}
	return r;
}

/* A pipe whose last slot is in use, if only by one byte, accepts no more: later data is peeked at
 * in the socket. */
static ssize_t look_behind(struct session *session, unsigned s, uint8_t *bytes, size_t n,
			   size_t at_most)
{
	ssize_t more = 0;

	assert(n <= at_most);
	if (session->side[s].stage_size - session->side[s].staged < PIPE_SLOT_BYTES &&
	    n < at_most && !(session_row(session, s)->capabilities & SPLICED_FILE))
		more = recv(session_fd(session, s), bytes + n, at_most - n,
			    MSG_PEEK | MSG_DONTWAIT);
	return (ssize_t)n + (more > 0 ? more : 0);
}

ssize_t stage_peek(struct session *session, unsigned s, uint8_t *bytes, size_t at_most)
{
	int r = set_up(session, s, at_most);
	ssize_t n;

	assert(stage_is_used(session, s));
	assert(at_most <= sizeof session->thread->buffers->bytes);
	assert(r || *stage_of(session, s) >= 0);
	if (!r && session->side[s].readable && !session->side[s].stage_end)
		r = fill(session, s);
	if (r)
		return r;
	if (!session->side[s].staged) {
		session->side[s].stage_news = false;
		return session->side[s].stage_end ? 0 : -EAGAIN;
	}
	n = look(session, s, bytes, at_most);
	return n > 0 ? look_behind(session, s, bytes, (size_t)n, at_most) : n;
}

ssize_t stage_take(struct session *session, unsigned s, uint8_t *bytes, size_t at_most)
{
	ssize_t n;

	assert(stage_is_used(session, s));
	if (!session->side[s].staged)
		return recv(session_fd(session, s), bytes, at_most, MSG_DONTWAIT);
	n = read(*stage_of(session, s), bytes, at_most);
	assert(n < 0 || (size_t)n <= session->side[s].staged);
	if (n > 0)
		session->side[s].staged -= (uint32_t)n;
	return n;
}

void stage_adopt(struct session *session, unsigned s)
{
	int *stage = stage_of(session, s);
	int bytes;

	assert(s < 2);
	if (*stage < 0)
		return;
	bytes = pipe_adopt(&session->thread->pipes, *stage, &session->side[s].stage_size);
	if (bytes < 0) {
		*stage = -1;
		return;
	}
	session->side[s].staged = (uint32_t)bytes;
	session->side[s].stage_news = bytes > 0;
}

void stage_discard(struct session *session, unsigned s)
{
	int *stage = stage_of(session, s);
	int fd = *stage;

	assert(s < 2);
	assert(fd >= 0 || !session->side[s].staged);
	*stage = -1;
	session->side[s].staged = 0;
	session->side[s].stage_news = session->side[s].stage_end = false;
	if (fd >= 0)
		pipe_discard(&session->thread->pipes, fd, session->side[s].stage_size);
}
