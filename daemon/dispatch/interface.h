/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interfaces: once a second, a check of sockets that are bound to something that comes and goes
 * without an event on the socket, as an interface does. The family checks whether they are still
 * bound to it, and binds them again.
 */
#pragma once

struct session;

/* Looks now at a side's socket. 0: it is where it belongs, or its family does not care; negative
 * errno: what it waits for. Changes are logged and noted in the session's record. */
int interface_check_side(struct session *session, unsigned side);

/* Checks both now: before a session relays, so that its sockets receive by then. */
void interface_check_both(struct session *session);

/* Looks, if it is time, at both, and asks the session's timer for the next look. */
void interface_check_when_due(struct session *session);
