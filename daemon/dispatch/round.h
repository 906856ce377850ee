/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rounds: how a session that connects comes to its next target, and what is between two attempts: a
 * pause after the pool's last member, the wait for another session's attempt, or for a place.
 */
#pragma once

#include "dispatch/connect.h"

#include <stdbool.h>

struct session;

/* Chooses a target. NEXT: it is in the record; else there is none now. */
enum connect_result round_choose(struct session *session);

/* After the last member; waits: none was tried, other sessions do that. */
void round_end(struct session *session, bool waits);

/* Whether `retry` is used up; the result then. */
bool round_is_given_up(const struct session *session);
enum connect_result round_give_up(struct session *session, int error);

/* No target had a place for it in time. */
enum connect_result round_end_wait(struct session *session);
