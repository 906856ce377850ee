/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connecting a session to its target: the next address of the target, the next target of the pool,
 * and when the whole pool was gone through once, a pause that doubles; until one answers or `retry`
 * is used up.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct session;

/* Result of a step; the caller decides what becomes of the session. */
enum connect_result {
	CONNECT_WAITS,	  /* for an event, or the session's timer */
	CONNECT_REACHED,  /* the target is connected */
	CONNECT_GIVEN_UP, /* no target answered, the last one for the session's connect_error */
	CONNECT_FULL,	  /* all targets have max_sessions, and no place became free in time */
	CONNECT_NEXT,	  /* inside: another target may be tried at once */
};

/* The socket that is being connected: the target's, or first the front of a session that was
 * dialed; -1 between two attempts. */
int connect_fd(const struct session *session);

/* ---- what a mover reports of the target that a session is connected to ---- */

/*
 * The target's socket reports an error (negative) while the session relays: it counts as a failed
 * connect. True: the session is to continue at another member of the pool, then in the record's
 * cursor, by session_reconnect(). False if no other is known to be better, or if this one has
 * answered before and is not known to be down.
 */
bool connect_lost(struct session *session, int error);

/* The target has sent something: it is up, and what was kept is not needed any more. */
void connect_proven(struct session *session);

/* A message was sent to a target that has not answered yet. If it had failed before, and no
 * failure is reported for as long as the kernel needs to find that it is absent, it is up again. */
void connect_sent(struct session *session);

/* ---- connecting ---- */

/* The target is gone: closes its socket, and begins again. */
enum connect_result connect_anew(struct session *session);

/* CONNECTING: the present attempt is broken off, and counts as none; another target is tried. */
enum connect_result connect_elsewhere(struct session *session);

/* Forgets what was tried so far. */
void connect_forget(struct session *session);

/* A new session: chooses where in the pool to begin, and starts to connect. */
enum connect_result connect_begin(struct session *session);

/* The target's socket has an event (EPOLLOUT, EPOLLERR). */
enum connect_result connect_check(struct session *session);

/* Called when an heir first serves it, also between two attempts. */
enum connect_result connect_adopt(struct session *session);

/* It waits for a place at a target (queue.h), and it is its turn. */
enum connect_result connect_in_turn(struct session *session);

/* The session's timer: an attempt takes long, or too long, or the pause is over. */
enum connect_result connect_timer(struct session *session);

/* A rival's socket (race.h) has an event. */
enum connect_result connect_rival(struct session *session, unsigned rival);
