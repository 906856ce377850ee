/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A look, once a second, at sockets that hear of no connection but of a place that may come and go:
 * an interface. The family says whether they are still where they belong, and puts them there.
 */
#pragma once

struct session;

/* Looks now at a side's socket. 0: it is where it belongs, or its family does not care; negative
 * errno: what it waits for. What is new of that goes to the log and into the session's record. */
int look_at_side(struct session *session, unsigned side);

/* Looks now at both: before a session is told to relay, so that its sockets hear by then. */
void look_at_both(struct session *session);

/* Looks, if it is time, at both, and asks the session's timer for the next look. */
void look_when_due(struct session *session);
