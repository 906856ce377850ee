/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directions. A pipe is recorded before the first byte enters it, and removed from the record
 * before it is closed or lent to another direction. */
#include "session/direction.h"

#include "base/assert.h"
#include "ledger/generation.h"
#include "net/socket.h"
#include "session/session.h"
#include "session/slot.h"
#include "session/tally.h"
#include "session/thread.h"

#include <errno.h>

void direction_give_pipe_back(struct session *session, unsigned d)
{
	struct ledger_direction *direction = &session_record(session)->direction[d];
	int fd = direction->pipe;

	assert(d < 2);
	assert(fd >= 0);
	assert(!session->direction[d].fill);
	direction->pipe = -1;
	pipe_return(&session->thread->pipes, fd, session->direction[d].pipe_size);
}

void direction_discard_pipe(struct session *session, unsigned d)
{
	struct ledger_direction *direction = &session_record(session)->direction[d];
	int fd = direction->pipe;

	assert(d < 2);
	assert(fd >= 0 || !session->direction[d].fill);
	tally_lose_held(session, d);
	direction->pipe = -1;
	session->direction[d].fill = 0;
	if (fd >= 0)
		pipe_discard(&session->thread->pipes, fd, session->direction[d].pipe_size);
}

bool direction_borrow_pipe(struct session *session, unsigned d, uint32_t at_least)
{
	struct ledger_direction *direction = &session_record(session)->direction[d];
	int fd;

	assert(d < 2);
	assert(at_least <= PIPE_LARGE_BYTES);
	if (direction->pipe >= 0)
		return true;
	fd = session->direction[d].proof && !at_least
		     ? pipe_lend_small(&session->thread->pipes, 0, &session->direction[d].pipe_size)
		     : pipe_lend(&session->thread->pipes, at_least,
				 &session->direction[d].pipe_size);
	if (fd < 0) {
		slot_note_limit(session->thread,
				session->generation->route_slots[session_record(session)->route],
				PAUSE_PIPES);
		return false;
	}
	assert(!session->direction[d].fill);
	assert_costly(fd != session_record(session)->direction[!d].pipe &&
		      fd != session_record(session)->stage[0] &&
		      fd != session_record(session)->stage[1]);
	direction->pipe = fd;
	return true;
}

void direction_note_reset(struct session *session, unsigned side, int error)
{
	assert(side < 2);
	assert(error >= 0);
	session_record(session)->direction[side].flags |=
		DIRECTION_RESET | (error == EPIPE ? DIRECTION_FIN_FIRST : 0);
	session->side[side].readable = session->moved = true;
}

/* In this order: after a crash in between the reset must not look like a clean EOF. */
void direction_note_end(struct session *session, unsigned side)
{
	uint32_t *flags = &session_record(session)->direction[side].flags;

	assert(side < 2);
	assert(thread_is_self(session->thread));
	if (session->side[side].lost && !(*flags & DIRECTION_RESET))
		direction_note_reset(session, side,
				     -socket_take_error(session_record(session)->fd[side]));
	*flags |= DIRECTION_EOF;
	session->moved = true;
}
