/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Targets that are down. What surprised us about the kernel: on the same machine a datagram to a
 * port without a listener is refused before sendmsg(2) returns, which nevertheless succeeds; the
 * error is pending at the socket. From a remote host the refusal arrives after other messages have
 * been sent.
 */
#include "move/absent.h"

#include "base/assert.h"
#include "config/config.h"
#include "move/mover.h"
#include "move/roam.h"
#include "net/fault.h"
#include "net/socket.h"
#include "session/session.h"

#include <spliced/plugin.h>

bool absent_is_waited_for(const struct session *session, unsigned d)
{
	uint64_t capabilities = session_row(session, 1)->capabilities;

	assert(d < 2);
	return d == 0 && session->route->overflow == OVERFLOW_BLOCK &&
	       capabilities & SPLICED_CONNECTIONLESS &&
	       !(capabilities & (SPLICED_RELIABLE | SPLICED_FEED | SPLICED_BINDS));
}

int absent_look(struct session *session)
{
	int error = socket_take_error(session_fd(session, 1));

	assert(session_fd(session, 1) >= 0);
	if (fault_of(-error) != FAULT_PEER)
		return 0;
	roam_take_errors(session);
	return mover_tell_lost(session, error) ? SINK_RECONNECT : RELAY_STARVED;
}
