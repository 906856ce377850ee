/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long a session that relays may be idle, and its timer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct session;

/* One side sent EOF; the other has no half-close, so forwarding it would cut off the reply. */
bool session_hears_last_words(const struct session *session);

/* A client sent EOF to a target without connections, which cannot signal an end: only its last
 * reply is waited for. */
bool session_waits_for_replies(const struct session *session);

/* One side has ended, and the other may continue for a time; 0: without limit. */
uint64_t session_half_closed_time(const struct session *session);

/* How long the session may be idle; 0: without limit. A datagram session has no other end. */
uint64_t session_idle_time(const struct session *session);

/* RELAYING: its timer is set for all that waits for a time. session_expire() follows. */
void session_arm(struct session *session);
