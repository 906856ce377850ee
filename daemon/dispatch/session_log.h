/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log messages of a session that ends, and of a client that is refused. */
#pragma once

#include "session/session.h"

struct config_rule;

/* One line for the session, if they are wanted: daemon.log.sessions. Before its sockets are
 * closed. */
void session_log_end(const struct session *session, enum session_end why, int error);

/* The address that its target's name had when it answered, for that line: a socket that has ended
 * forgets it. */
void session_log_reached(struct session *session, const struct address *address);

/* The same for every session, when no worker serves them any more: the daemon stops. Calls
 * families. */
void session_log_stop(struct ledger *ledger, struct generation *generations);

/* By which rule a client was refused; NULL: no rule of allow matched. Repetitions are summed. */
void session_log_refused(const struct thread *thread, const struct generation *generation,
			 const struct config_route *route, const struct config_leg *leg,
			 const struct address *peer, const struct config_rule *rule);
