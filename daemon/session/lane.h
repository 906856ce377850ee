/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lanes. Where a datagram listener's route expects no replies (replies = 0), nothing is kept for a
 * sender: a thread has one session for each member of the pool, its lane, and each message goes by
 * the next, as the route's `balance` says. A lane stays with its member: while that one is known to
 * be down, the others are chosen. Only who is a session of ours has one of his own, so that loops
 * are found.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct config_route;
struct ledger_flow;
struct ledger_session;
struct session;

/* Whether messages of this route go by lanes. */
bool lanes_have(const struct config_route *route);

/* Whether the session is one, also by its record and flow alone; its member of the pool. */
bool lane_is_record(const struct config_route *route, const struct ledger_session *record,
		    const struct ledger_flow *flow);
bool lane_is(const struct session *session);
uint32_t lane_member(const struct session *session);
