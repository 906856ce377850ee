/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What events reported of a session's sockets, what is assumed until the next event, and when that
 * is checked without one. */
#include "base/assert.h"
#include "session/session.h"

#include "base/clock.h"
#include "net/socket.h"
#include "session/thread.h"

#include <poll.h>

enum {
	RETRY_MS = 20,	 /* between two attempts to get a missing resource */
	DOUBT_MS = 1000, /* EAGAIN is believed for this long */
};

void session_look_again(struct session *session, uint64_t at)
{
	assert(session->timer.fire);
	assert(thread_is_self(session->thread));
	if (!timer_is_set(&session->timer) || session->timer.at > at)
		timer_set(&session->thread->loop.timers, &session->timer, at);
}

void session_retry(struct session *session)
{
	session->starved = true;
	session_look_again(session, session->thread->loop.now + RETRY_MS * NSEC_PER_MSEC);
}

static unsigned belief_bit(unsigned side, enum session_belief belief)
{
	assert(belief == BELIEF_READ || belief == BELIEF_WRITE);
	return (unsigned)belief << side * BELIEF_SIDE_BITS;
}

static void believe(struct session *session, unsigned side, enum session_belief belief)
{
	assert(side < 2);
	session->believed |= (uint8_t)belief_bit(side, belief);
	if (session->doubt)
		return;
	session->doubt = session->thread->loop.now + DOUBT_MS * NSEC_PER_MSEC;
	session_look_again(session, session->doubt);
}

void session_believe_unreadable(struct session *session, unsigned side)
{
	session->side[side].readable = false;
	believe(session, side, BELIEF_READ);
}

void session_believe_unwritable(struct session *session, unsigned side)
{
	session->side[side].writable = false;
	believe(session, side, BELIEF_WRITE);
}

/* An edge is reported once: a FIN that arrives while the session still connects is stored until it
 * relays. */
void session_note_events(struct session *session, unsigned side, uint32_t events)
{
	bool readable = (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	bool writable = (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;

	assert(side < 2);
	session->side[side].readable |= readable;
	session->side[side].writable |= writable;
	session->side[side].urgent |= (events & EPOLLPRI) != 0;
	session->side[side].hangup |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	session->side[side].failed |= (events & (EPOLLERR | EPOLLHUP)) != 0;
	session->side[side].gone |= (events & EPOLLHUP) != 0;
	session->believed &= (uint8_t) ~((readable ? belief_bit(side, BELIEF_READ) : 0) |
					 (writable ? belief_bit(side, BELIEF_WRITE) : 0));
}

void session_expect_everything(struct session *session)
{
	for (unsigned side = 0; side < 2; side++)
		session->side[side].readable = session->side[side].writable = true;
	session->believed = 0;
}

/* An edge needs a change. EAGAIN may mean that the kernel had no memory, and then no change
 * follows. */
void session_ask_again(struct session *session)
{
	assert(session_record(session)->state == SESSION_RELAYING);
	for (unsigned side = 0; side < 2; side++)
		if (session->believed &
		    (belief_bit(side, BELIEF_READ) | belief_bit(side, BELIEF_WRITE)))
			session_note_events(
				session, side,
				(uint32_t)socket_poll(session_fd(session, side), POLLIN | POLLOUT));
	session->believed = 0;
	session->doubt = 0;
}
