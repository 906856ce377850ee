/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source of a direction. What surprised us about the kernel:
 *
 *   - A socket's pending error comes before its messages, also between the peek and the call that consumes; a netlink socket with a
 *     dump under way that finds no room makes a new one at each call.
 *   - A seqpacket socket says 0 for a message without bytes and for the end; only the sender's credentials, which come
 *     with a message, tell one from the other.
 *   - The control buffer has room for them and not one byte more: descriptors (SCM_RIGHTS) that find room would be
 *     installed, at each peek.
 *   - TIPC refuses to read into no room at all: what is consumed has a byte to go to.
 */
#include "flow/source.h"

#include "base/log.h"
#include "config/config.h"
#include "flow/buffers.h"
#include "flow/format.h"
#include "flow/relay.h"
#include "flow/session.h"
#include "flow/sink.h"
#include "flow/thread.h"
#include "net/callback.h"
#include "net/fault.h"
#include "net/socket.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum {
	ERRORS_PASSED = 16,
	UNSHOWN_MAX = 8, /* a first message that cannot be peeked at so often in a row, with pauses, cannot be at all */
};

static bool is(const struct session *session, unsigned side, uint64_t capability)
{
	return session_row(session, side)->capabilities & capability;
}

/* An empty queue is believed at the second time only: the message that was seen in it cannot have gone. */
bool source_take(int fd, unsigned *lost)
{
	bool empty = false;
	char byte;

	*lost = 0;
	for (int i = 0; i < ERRORS_PASSED; i++) {
		if (recv(fd, &byte, sizeof byte, MSG_DONTWAIT | MSG_TRUNC) >= 0)
			return true;
		if (errno == EAGAIN && empty)
			return true;
		empty = errno == EAGAIN;
		*lost += errno == ENOBUFS;
	}
	return false;
}

int source_consume(struct session *session, unsigned s)
{
	unsigned lost = 0;
	bool taken = session->unpeekable[s] || session->taken[s] || source_take(session_fd(session, s), &lost);
	int r = 0;

	session->taken[s] = false;
	session->owed[s] = !taken;
	session->moved |= taken;
	if (is(session, s, SPLICED_FEED)) {
		ledger_count(&session_counter(session)->lost, lost);
		for (unsigned i = 0; i < lost && !r; i++)
			r = format_lost(session, s);
	}
	return taken ? r : RELAY_STARVED;
}

/* The side is gone. Messages that came before are still there where the kernel told the error first, as it does of datagrams. */
static int note_reset(struct session *session, unsigned s, int error)
{
	struct ledger_direction *direction = &session_record(session)->direction[s];
	bool again = direction->flags & DIRECTION_RESET;

	relay_note_reset(session, s, error);
	if (is(session, s, SPLICED_BOUNDARIES) && !again)
		return SOURCE_AGAIN;
	direction->flags |= DIRECTION_EOF;
	return SOURCE_END;
}

int source_judge(struct session *session, unsigned s, int error)
{
	enum fault fault = fault_of(error);

	switch (fault) {
	case FAULT_BLOCKED:
		session_believe_unreadable(session, s);
		return SOURCE_NOTHING;
	case FAULT_INTERRUPTED:
		return SOURCE_AGAIN;
	case FAULT_SHORTAGE:
		if (error != ENOBUFS || !is(session, s, SPLICED_FEED))
			return SOURCE_SHORT;
		ledger_count(&session_counter(session)->lost, 1);
		return SOURCE_LOST;
	case FAULT_MESSAGE:
	case FAULT_PEER:
	case FAULT_CALL:
		break;
	}
	if (is(session, s, SPLICED_CONNECTIONLESS)) {
		/* An earlier datagram found nobody. */
		sink_drop(session, DROPPED_UNREACHABLE, 1);
		return SOURCE_AGAIN;
	}
	if (is(session, s, SPLICED_FEED))
		return SOURCE_AGAIN;
	return fault == FAULT_CALL ? -error : note_reset(session, s, error);
}

static bool has_credentials(struct msghdr *header)
{
	const struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);

	return cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_CREDENTIALS;
}

/* A seqpacket socket that does not tell of credentials said 0: what it says next, behind the message without bytes that it may have been,
 * tells. Such a message is taken then. */
static bool is_end(struct session *session, unsigned s)
{
	int fd = session_fd(session, s);
	ssize_t n;
	char byte;

	if (is(session, s, SPLICED_CREDENTIALS | SPLICED_CONNECTIONLESS | SPLICED_FEED) || !socket_said_fin(fd))
		return false;
	if (session->unpeekable[s])
		return true;
	recv(fd, &byte, sizeof byte, MSG_DONTWAIT);
	n = recv(fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
	session->taken[s] = n > 0;
	return !session->taken[s];
}

/* TIPC says the end once; afterwards nothing, as if more could come. Asked twice: what is taken for the end stays so. */
static bool is_past_end(const struct session *session, unsigned s)
{
	int fd = session_fd(session, s);
	char byte;

	if (errno != EAGAIN || !session->hangup[s] || is(session, s, SPLICED_CONNECTIONLESS | SPLICED_FEED))
		return false;
	if (!(socket_poll(fd, POLLIN) & POLLHUP) || recv(fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) >= 0) {
		errno = EAGAIN;
		return false;
	}
	return errno == EAGAIN;
}

/* What the kernel says to MSG_PEEK where it cannot: vsock's seqpacket before 6.10 has no better word than ENOMEM, which elsewhere passes. */
static bool is_unpeekable(struct session *session, unsigned s, int error)
{
	if (error == EOPNOTSUPP)
		return true;
	if (error != ENOMEM || session->peeked[s] || session_row(session, s)->type != SOCK_SEQPACKET)
		return false;
	return ++session->unshown[s] == UNSHOWN_MAX;
}

/* From now on each message of this side is taken before it is sent: one that finds no way after all is lost. */
static void do_without_peeking(struct session *session, unsigned s)
{
	session->unpeekable[s] = true;
	log_notice("route %s: this kernel cannot peek at messages of %s: what a crash finds in hand is lost", session->route->name,
		   session_endpoint(session, s)->text);
}

int source_mend(struct session *session, unsigned s, const struct msghdr *header, struct spliced_message *message)
{
	const struct config_leg *leg = session_leg(session, s);
	int r = 0;

	if (leg->family->plugin.received && is(session, s, SPLICED_FEED))
		r = (int)CALLBACK(leg->family, received, leg->family->plugin.received(&leg->options, header, message));
	if (r < 0)
		sink_drop(session, format_drop_reason(r), 1);
	return r;
}

int source_peek(struct session *session, unsigned s, struct spliced_message *ret, size_t *len)
{
	struct buffers *buffers = session->thread->buffers;
	size_t room = is(session, s, SPLICED_FEED) ? BUFFERS_CONTROL : CMSG_SPACE(sizeof(struct ucred));
	uint8_t *bytes = buffers->bytes + BUFFERS_HEADROOM;
	struct iovec part = {bytes, BUFFERS_MESSAGE_MAX};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_name = &buffers->from[0],
				.msg_namelen = sizeof buffers->from[0], .msg_control = buffers->control[0],
				.msg_controllen = room};
	int flags = MSG_TRUNC | MSG_DONTWAIT | (session->unpeekable[s] ? 0 : MSG_PEEK);
	ssize_t n = recvmsg(session_fd(session, s), &header, flags);

	if (n < 0 && !session->unpeekable[s] && is_unpeekable(session, s, errno)) {
		do_without_peeking(session, s);
		return SOURCE_AGAIN;
	}
	if (n < 0 && !is_past_end(session, s))
		return source_judge(session, s, errno);
	if (n < 0 || (n == 0 && (is(session, s, SPLICED_CREDENTIALS) ? !has_credentials(&header) : is_end(session, s)))) {
		relay_note_end(session, s);
		return SOURCE_END;
	}
	session->peeked[s] = true;
	if (header.msg_flags & MSG_CTRUNC)
		ledger_count(&session_counter(session)->descriptors, 1);
	*len = (size_t)n;
	*ret = (struct spliced_message){.size = sizeof *ret, .data = bytes, .len = (size_t)n,
					.from = (struct sockaddr *)&buffers->from[0], .from_len = header.msg_namelen};
	return *len <= BUFFERS_MESSAGE_MAX && source_mend(session, s, &header, ret) < 0 ? SOURCE_REFUSED : SOURCE_MESSAGE;
}
