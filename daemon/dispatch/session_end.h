/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of sessions. */
#pragma once

#include "session/session.h"

/* Ends the session: by FIN if all was forwarded, else by RST if the family has one. `error`: 0
 * or negative errno. */
void session_end(struct session *session, enum session_end why, int error);

/* The session in hand came to a callback that is barred: it is ended, END_POISON, unless it has
 * ended already. */
void session_settle(struct session *session);

/* ABORTING: closes, once what was sent before the reset has arrived, or its time is up. */
void session_end_wait(struct session *session);
