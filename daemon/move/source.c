/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source of a direction. What surprised us about the kernel:
 *
 *   - A read of a seqpacket socket returns 0 for an empty message and for EOF; only the sender's
 *     credentials, which come with a message, tell one from the other.
 */
#include "move/source.h"

#include "base/assert.h"
#include "base/log.h"
#include "config/config.h"
#include "move/format.h"
#include "move/mover.h"
#include "move/receive.h"
#include "move/relay.h"
#include "move/roam.h"
#include "move/sink_drop.h"
#include "move/sink_message.h"
#include "net/callback.h"
#include "net/fault.h"
#include "net/socket.h"
#include "session/buffers.h"
#include "session/direction.h"
#include "session/session.h"
#include "session/tally.h"
#include "session/thread.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum {
	UNSHOWN_MAX = 8, /* if peeking at a first message fails this often in a row, with pauses, it
			    is not supported */
};

static bool is(const struct session *session, unsigned side, uint64_t capability)
{
	return session_row(session, side)->capabilities & capability;
}

void source_count_stripped(const struct session *session, unsigned count)
{
	assert(count <= BUFFERS_BATCH);
	ledger_count(&session_counter(session)->descriptors, count);
}

int source_consume(struct session *session, unsigned s)
{
	struct receive_taken told = {0};
	bool taken = session->side[s].unpeekable || session->side[s].taken ||
		     receive_take(session_fd(session, s), session_row(session, s), &told);
	int r = 0;

	assert(s < 2);
	assert(!session->side[s].owed || !session->side[s].taken);
	session->side[s].taken = false;
	session->side[s].owed = !taken;
	session->moved |= taken;
	if (taken && !session->side[s].unpeekable)
		tally_receive(session, s, 1);
	source_count_stripped(session, told.stripped);
	if (is(session, s, SPLICED_FEED)) {
		for (unsigned i = 0; i < told.lost && !r; i++)
			r = format_lost(session, s);
	}
	return taken ? r : RELAY_STARVED;
}

/* The side is gone. Earlier messages may still be there if the kernel reports the error first, as
 * for datagrams. */
static int note_reset(struct session *session, unsigned s, int error)
{
	struct ledger_direction *direction = &session_record(session)->direction[s];
	bool again = direction->flags & DIRECTION_RESET;

	assert(error > 0);
	direction_note_reset(session, s, error);
	if (is(session, s, SPLICED_BOUNDARIES) && !again)
		return SOURCE_AGAIN;
	direction->flags |= DIRECTION_EOF;
	return SOURCE_END;
}

/* Other errors for what the kernel does not allow may also come from an ICMP message. */
static bool is_own_mistake(int error)
{
	return error == EINVAL || error == ENOTSOCK || error == EBADF || error == EFAULT;
}

int source_judge(struct session *session, unsigned s, int error)
{
	enum fault fault = fault_of(error);

	assert(s < 2 && error > 0);
	switch (fault) {
	case FAULT_BLOCKED:
		session_believe_unreadable(session, s);
		return SOURCE_NOTHING;
	case FAULT_INTERRUPTED:
		return SOURCE_AGAIN;
	case FAULT_SHORTAGE:
		if (error != ENOBUFS || !is(session, s, SPLICED_FEED))
			return SOURCE_SHORT;
		return SOURCE_LOST;
	case FAULT_MESSAGE:
	case FAULT_PEER:
	case FAULT_CALL:
		break;
	}
	if (s == 1)
		roam_take_errors(session);
	if (is(session, s, SPLICED_CONNECTIONLESS) && is_own_mistake(error))
		return -error;
	if (is(session, s, SPLICED_CONNECTIONLESS)) {
		/* An earlier datagram was not delivered. */
		bool moved = s == 1 && fault == FAULT_PEER && mover_tell_lost(session, -error);

		if (!moved || !sink_will_repeat(session))
			sink_return(session, !s);
		return moved ? SOURCE_MOVED : SOURCE_AGAIN;
	}
	if (s == 1 && session_flow(session)->kept && fault == FAULT_PEER &&
	    mover_tell_lost(session, -error))
		return SOURCE_MOVED;
	if (is(session, s, SPLICED_FEED))
		return SOURCE_AGAIN;
	return fault == FAULT_CALL ? -error : note_reset(session, s, error);
}

static bool has_credentials(struct msghdr *header)
{
	const struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);

	return cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_CREDENTIALS;
}

/* A read of a seqpacket socket without credentials returned 0: the next read, behind what may have
 * been an empty message, decides. Such a message is consumed then. */
static bool is_end(struct session *session, unsigned s)
{
	int fd = session_fd(session, s);
	ssize_t n;
	char byte;

	if (is(session, s, SPLICED_FILE))
		return true;
	assert(session_row(session, s)->capabilities & SPLICED_BOUNDARIES);
	if (is(session, s, SPLICED_CREDENTIALS | SPLICED_CONNECTIONLESS | SPLICED_FEED) ||
	    !socket_said_fin(fd))
		return false;
	if (session->side[s].unpeekable)
		return true;
	recv(fd, &byte, sizeof byte, MSG_DONTWAIT);
	n = recv(fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
	session->side[s].taken = n > 0;
	return !session->side[s].taken;
}

/* TIPC reports EOF once; afterwards EAGAIN, as if more could come. Read twice: once taken for EOF
 * it stays so. */
static bool is_past_end(const struct session *session, unsigned s, int error)
{
	int fd = session_fd(session, s);
	char byte;

	if (error != EAGAIN || !session->side[s].hangup ||
	    is(session, s, SPLICED_CONNECTIONLESS | SPLICED_FEED | SPLICED_FILE))
		return false;
	return socket_poll(fd, POLLIN) & POLLHUP &&
	       recv(fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* The error of MSG_PEEK if it is not supported: vsock's seqpacket before 6.10 fails with ENOMEM,
 * which elsewhere is temporary. */
static bool is_unpeekable(struct session *session, unsigned s, int error)
{
	if (error == EOPNOTSUPP)
		return true;
	if (error != ENOMEM || session->side[s].peeked ||
	    session_row(session, s)->type != SOCK_SEQPACKET)
		return false;
	return ++session->side[s].unshown == UNSHOWN_MAX;
}

/* From now on each message of this side is consumed before it is sent: one that then cannot be sent
 * is lost. */
static void do_without_peeking(struct session *session, unsigned s)
{
	assert(!session->side[s].unpeekable);
	session->side[s].unpeekable = true;
	log_notice(
		"route %s: this kernel cannot peek at messages of %s: messages in hand at a crash are lost",
		session->route->name, session_endpoint(session, s)->text);
}

int source_mend(struct session *session, unsigned s, const struct msghdr *header,
		struct spliced_message *message)
{
	const struct config_leg *leg = session_leg(session, s);
	int r = 0;

	assert(s < 2);
	if (s == 1 && session->roams && !roam_hears(session, header)) {
		sink_drop(session, DROPPED_SENDER, 1);
		return -EPERM;
	}
	if (leg->family->plugin.received && is(session, s, SPLICED_FEED | SPLICED_CONNECTIONLESS))
		r = (int)CALLBACK(leg->family, received,
				  leg->family->plugin.received(&leg->options, header, message));
	if (r < 0)
		sink_drop(session, format_drop_reason(r), 1);
	return r;
}

int source_peek(struct session *session, unsigned s, struct spliced_message *ret, size_t *len)
{
	struct buffers *buffers = session->thread->buffers;
	const struct spliced_row *row = session_row(session, s);
	struct msghdr *header = &buffers->in[0].msg_hdr;
	bool peeks = !session->side[s].unpeekable;
	int n = receive_messages(buffers, session_fd(session, s), row, BUFFERS_MESSAGE_MAX, 1,
				 peeks ? MSG_PEEK : 0);

	assert(s < 2);
	assert(!session->side[s].owed);
	assert(!buffers->in_hand);
	if (n < 0 && peeks && is_unpeekable(session, s, -n)) {
		do_without_peeking(session, s);
		return SOURCE_AGAIN;
	}
	if (n < 0 && !is_past_end(session, s, -n))
		return source_judge(session, s, -n);
	*len = n < 0 ? 0 : buffers->in[0].msg_len;
	if (n < 0 || (!*len && (is(session, s, SPLICED_CREDENTIALS) ? !has_credentials(header)
								    : is_end(session, s)))) {
		direction_note_end(session, s);
		return SOURCE_END;
	}
	assert(n == 1);
	session->side[s].peeked = true;
	if (!peeks) {
		tally_receive(session, s, 1);
		source_count_stripped(session, receive_count_stripped(buffers, row, 1));
	}
	*ret = (struct spliced_message){.size = sizeof *ret,
					.data = buffers->in_parts[0].iov_base,
					.len = *len,
					.from = (struct sockaddr *)&buffers->from[0],
					.from_len = header->msg_namelen};
	return *len <= BUFFERS_MESSAGE_MAX && source_mend(session, s, header, ret) < 0
		       ? SOURCE_REFUSED
		       : SOURCE_MESSAGE;
}
