/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Serving a session while it connects and while it relays. */
#pragma once

#include "dispatch/connect.h"

#include <stdbool.h>

struct session;

/* Handles the result of a step of connecting: the target is connected, CONNECTING to RELAYING;
 * or none is. */
void session_go_on(struct session *session, enum connect_result result);

/* Plans how its traffic moves, and makes its sockets ready for it. False: the session is over. */
bool session_prepare(struct session *session);

/* Moves what can be moved; ends the session when both directions have ended. */
void session_service(struct session *session);

/* RELAYING: its timer (session_timer.h) has fired. */
void session_expire(struct session *session);

/* Its target's socket is gone: RELAYING to CONNECTING, at the member of the pool at the record's
 * cursor. */
void session_reconnect(struct session *session);
