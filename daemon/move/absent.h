/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connectionless targets that are down, and messages that wait for them: overflow = "block". */
#pragma once

#include <stdbool.h>

struct session;

/* Whether messages from source `d` wait for a target that reports that it is down: the operator has
 * configured it. */
bool absent_is_waited_for(const struct session *session, unsigned d);

/* For such a session, after each sent message: 0, or the message was refused, and was not
 * delivered: SINK_RECONNECT, RELAY_STARVED. */
int absent_look(struct session *session);
