/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Urgent data. The byte is peeked, written into the pipe, then consumed; before that, the pipe's
 * length and the count of bytes read from the socket are recorded in the direction's flags, so that
 * an heir knows how far a dead worker got. What surprised us about the kernel:
 *
 *   - At the urgent byte splice(2) fails with EAGAIN, and returns 0 once the peer's FIN has
 *     arrived, as if there were no more data.
 *   - Without SO_OOBINLINE a second urgent byte makes the kernel throw away the first; it is set
 *     before the first can come.
 *   - A second one also moves the mark, so that SIOCATMARK does not tell whether the first was
 *     consumed: its count does.
 */
#include "move/urgent.h"

#include "base/assert.h"
#include "ledger/ledger.h"
#include "net/family.h"
#include "net/socket.h"
#include "session/session.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	URGENT_FLAGS = DIRECTION_URGENT | DIRECTION_URGENT_ODD | DIRECTION_URGENT_STAGED,
	COUNT_SHIFT = 16,    /* of the count's low bits in the flags, */
	COUNT_MASK = 0x7fff, /* so many; */
	FLAGS_MASK = 0xffff,
};
/* The count will not grow by a FIN any more. */
#define FINAL_BIT (UINT32_C(1) << 31)

static bool can_be(const struct session *session, unsigned s)
{
	return session_row(session, s)->capabilities & SPLICED_TCP_INFO;
}

static void clear(struct ledger_direction *direction)
{
	direction->flags &= FLAGS_MASK & ~(uint32_t)URGENT_FLAGS;
}

static uint32_t note(const struct socket_consumed *consumed, uint32_t len, bool staged)
{
	return DIRECTION_URGENT | ((len + 1) & 1 ? DIRECTION_URGENT_ODD : 0) |
	       (staged ? DIRECTION_URGENT_STAGED : 0) |
	       (uint32_t)(consumed->bytes & COUNT_MASK) << COUNT_SHIFT |
	       (consumed->fin || consumed->reset ? FINAL_BIT : 0);
}

static ssize_t receive(int fd, int flags)
{
	char byte;
	ssize_t n;

	do
		n = recv(fd, &byte, sizeof byte, MSG_DONTWAIT | flags);
	while (n < 0 && errno == EINTR);
	return n == 1 ? (unsigned char)byte : -1;
}

int urgent_take(struct session *session, unsigned s, int pipe, uint32_t *len, bool staged)
{
	struct ledger_direction *direction = &session_record(session)->direction[s];
	struct socket_consumed consumed;
	int fd = session_fd(session, s);
	ssize_t value;
	char byte;

	assert(s < 2 && pipe >= 0);
	assert(!(direction->flags & DIRECTION_URGENT));
	session->side[s].urgent = false;
	if (!can_be(session, s) || !socket_is_at_mark(fd))
		return URGENT_NONE;
	value = receive(fd, MSG_PEEK);
	if (value < 0)
		return URGENT_NONE;			 /* announced, and still on its way */
	session->side[s].urgent = session->moved = true; /* others may follow */
	if (!socket_tcp_consumed(fd, &consumed))
		return URGENT_UNSETTLED;
	byte = (char)value;
	direction->flags |= note(&consumed, *len, staged);
	assert(direction->flags & DIRECTION_URGENT);
	if (write(pipe, &byte, sizeof byte) != sizeof byte) {
		clear(direction);
		return URGENT_NO_ROOM;
	}
	receive(fd, 0);
	clear(direction);
	++*len;
	return URGENT_MOVED;
}

bool urgent_hides(struct session *session, unsigned s, size_t len)
{
	assert(s < 2);
	if (!session->side[s].urgent)
		return false;
	session->side[s].urgent =
		can_be(session, s) && socket_unread(session_fd(session, s)) > (int)len;
	return session->side[s].urgent;
}

/* Whether the byte is out of the socket. -1: unknown: reset since, maybe after a FIN. */
static int was_consumed(int fd, uint32_t flags)
{
	struct socket_consumed now;
	uint32_t more;

	if (!socket_tcp_consumed(fd, &now))
		return -1;
	more = (uint32_t)(now.bytes - (flags >> COUNT_SHIFT)) & COUNT_MASK;
	if (flags & FINAL_BIT)
		return more > 0;
	if (now.reset && more == 1)
		return -1;
	return more > (now.fin || now.reset ? 1 : 0);
}

static void settle(struct ledger_session *record, unsigned s)
{
	struct ledger_direction *direction = &record->direction[s];
	uint32_t flags = direction->flags;
	int pipe = flags & DIRECTION_URGENT_STAGED ? record->stage[s] : direction->pipe, len = 0;
	bool odd = flags & DIRECTION_URGENT_ODD, written;

	written = pipe >= 0 && !ioctl(pipe, FIONREAD, &len) && (len % 2 != 0) == odd;
	switch (written ? was_consumed(record->fd[s], flags) : 1) {
	case 0:
		receive(record->fd[s], 0);
		break;
	case -1:
		direction->flags |= DIRECTION_RESET | DIRECTION_EOF;
		break;
	}
	clear(direction);
}

void urgent_settle(struct ledger_session *record)
{
	for (unsigned s = 0; s < 2; s++)
		if (record->direction[s].flags & DIRECTION_URGENT)
			settle(record, s);
}
