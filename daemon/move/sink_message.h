/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Message sockets as sinks: sendmsg(2), and what its errors mean. */
#pragma once

#include "move/step.h"

#include <stdbool.h>
#include <sys/uio.h>

struct session;

/* Whether a message that cannot be put back would be accepted now; if not, the session checks again
 * later. */
bool sink_has_room(struct session *session, unsigned direction);

/* Whether the only message that the target ever got from the client is kept, so that it can be sent
 * to another target. */
bool sink_will_repeat(const struct session *session);

/* Sends the kept message to the connected member of the pool, before anything else. It is counted
 * already. 0; or as sink_send(). */
int sink_repeat(struct session *session);

/* As sink_send(), from the message *taken on, to a socket that is connected and has room. */
int sink_send_messages(struct session *session, unsigned direction, const struct iovec *messages,
		       unsigned count, unsigned *taken);
