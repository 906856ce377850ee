/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/session_gone.h"

#include "base/assert.h"
#include "base/clock.h"
#include "dispatch/session_end.h"
#include "net/socket.h"
#include "session/buffers.h"
#include "session/direction.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum {
	GONE_MS = 1000, /* a side may take nothing for this long when the other is gone: one that
			 * a reset can notify ... */
	GONE_UNTOLD_MS = 10000,	 /* ... and one that knows no reset */
	GONE_LONGEST_MS = 60000, /* ... and be slow for this time */
	THROWN_MAX = 64,	 /* reads of data without a receiver ... */
	KEPT_PART = 8,		 /* ... of which this part is left unread */
};

/* Whether a side was reset, asked in a way that leaves its error for the reader that gets to it.
 * If a worker took the error and died, it is in the state. */
static bool is_reset(const struct session *session, unsigned side)
{
	const struct ledger_session *record = session_record(session);

	return socket_poll(record->fd[side], 0) & POLLERR ||
	       (session_row(session, side)->capabilities & SPLICED_TCP_INFO &&
		!(record->direction[!side].flags & DIRECTION_FIN_SENT) &&
		socket_tcp_state(record->fd[side]) == SOCKET_TCP_CLOSE);
}

/* A side that has already sent FIN is not read any more: only its pending error shows a later
 * reset. */
static void look_for_reset(struct session *session, unsigned side)
{
	struct ledger_session *record = session_record(session);
	bool reset = is_reset(session, side);

	assert(session_record(session)->fd[side] >= 0);
	if (!(record->direction[side].flags & DIRECTION_EOF)) {
		session->side[side].readable = true;
		session->side[side].lost = reset;
		session->side[side].failed = reset;
		return;
	}
	session->side[side].failed = false;
	/* A worker before us may have noted it: what it was is known, a FIN first or not. */
	if (!reset || record->direction[side].flags & DIRECTION_RESET)
		return;
	direction_note_reset(session, side, EPIPE);
	socket_take_error(record->fd[side]);
}

void session_look_for_errors(struct session *session)
{
	for (unsigned side = 0; side < 2; side++) {
		if (!session->side[side].failed || session->side[side].lost)
			continue;
		if (session_row(session, side)->capabilities &
		    (SPLICED_CONNECTIONLESS | SPLICED_FEED)) {
			session->side[side].readable = true; /* the next call reports it */
			session->side[side].failed = false;
		} else {
			look_for_reset(session, side);
		}
	}
}

/* Makes room for a peer that waits to write, so that its write is then refused. A part stays
 * unread, which makes close(2) a reset if the family has one. */
static void throw_away(struct session *session, int fd)
{
	int unread = socket_unread(fd), left = unread - unread / KEPT_PART;
	ssize_t n = 1;

	assert(!session->thread->buffers->in_hand || !session->exchanges);
	for (int i = 0; left > 0 && n > 0 && i < THROWN_MAX; i++) {
		n = recv(fd, session->thread->buffers->scratch,
			 left < BUFFERS_SCRATCH ? (size_t)left : BUFFERS_SCRATCH, MSG_DONTWAIT);
		left -= (int)n;
	}
}

/* In families without resets, a write to a closed peer is refused. */
static void refuse_writes(struct session *session, unsigned side)
{
	int fd = session_record(session)->fd[side];

	if (fd < 0 ||
	    session_row(session, side)->capabilities &
		    (SPLICED_RESET | SPLICED_CONNECTIONLESS | SPLICED_FEED | SPLICED_FILE))
		return;
	if (!shutdown(fd, SHUT_RD))
		throw_away(session, fd);
}

void session_be_patient(struct session *session)
{
	unsigned stays = session_is_gone(session, 0) ? 1 : 0;
	uint64_t now = session->thread->loop.now;
	uint64_t silent = session_row(session, stays)->capabilities & SPLICED_RESET
				  ? GONE_MS
				  : GONE_UNTOLD_MS;
	uint64_t until = now + silent * NSEC_PER_MSEC, latest;

	if (!session->lost_at) {
		session->lost_at = now;
		refuse_writes(session, stays);
	}
	latest = session->lost_at + GONE_LONGEST_MS * NSEC_PER_MSEC;
	if (session->moved || !session->patience)
		session->patience = until < latest ? until : latest;
	session_look_again(session, session->patience);
}

void session_end_gone(struct session *session)
{
	unsigned side = session_is_gone(session, 0) ? 0 : 1;

	if (!(session_record(session)->direction[side].flags & DIRECTION_RESET))
		direction_note_reset(session, side,
				     -socket_take_error(session_record(session)->fd[side]));
	session_end(session, side ? END_TARGET_RESET : END_CLIENT_RESET, -ECONNRESET);
}
