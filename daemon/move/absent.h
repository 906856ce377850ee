/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Targets without connections that are away, and messages that wait for them: overflow =
 * "block". */
#pragma once

#include <stdbool.h>

struct session;

/* Whether what goes from source `d` waits for a target that says that it is not there: the operator
 * has asked for it. */
bool absent_is_waited_for(const struct session *session, unsigned d);

/* For such a session, behind each message that was sent: 0, or the message was refused, and is not
 * sent: SINK_RECONNECT, RELAY_STARVED. */
int absent_look(struct session *session);
