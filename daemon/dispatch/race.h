/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A race between the addresses of a target (RFC 8305, section 5): when the newest attempt has no
 * answer within RACE_DELAY_MS, it becomes a rival and continues, beside one with the next address.
 * The first that is connected wins, and all others are closed.
 *
 * The newest attempt is in the session's record as if it were alone. Rivals are in the memory of
 * their worker only: an heir adopts none of them, its sweep closes them, and the addresses are
 * tried again from the first, within the same time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct session;

enum {
	RACE_DELAY_MS = 250,
	RACE_FULL_MS = 1000, /* with RIVALS in progress: then the oldest is closed for the next */
	/* At most, the newest included: with the client's socket no more than what is set aside for
	 * a session. */
	RACE_ATTEMPTS = 3,
	RACE_RIVALS = RACE_ATTEMPTS - 1,
};

/* Whether the side that is being connected may have a race: it has connections, which take time. */
bool race_is_possible(const struct session *session);

/* Whether one more attempt may go on beside the newest. */
bool race_has_room(const struct session *session);

/* The newest attempt becomes a rival, in the place of the oldest if there is no room; the record
 * has no socket then. If it cannot be watched, it is closed. */
void race_put_aside(struct session *session);

/* A rival becomes the session's attempt; the newest one is closed. False: it cannot be watched, and
 * is closed, too. */
bool race_take(struct session *session, unsigned rival);

/* ... the newest of the rivals. False: there is none. */
bool race_take_newest(struct session *session);

/* Whether an event of a rival's socket, with that serial, is of one that the session has. */
bool race_is_meant(const struct session *session, unsigned rival, uint32_t serial);

/* A rival's socket. */
int race_fd(const struct session *session, unsigned rival);

/* Which of the target's addresses the session's attempt has, beginning with the one that answered
 * last. */
unsigned race_address(const struct session *session);

/* Closes one; closes all. */
void race_close(struct session *session, unsigned rival);
void race_end(struct session *session);
