/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lanes. Where a datagram listener's route expects no replies (replies = 0), there is no state per
 * sender: a thread has one session for each member of the pool, its lane, and the route's `balance`
 * chooses the lane of each message. A lane stays with its member: while the member is known to be
 * down, the others are chosen. Only a sender that is a session of this daemon has a session of its
 * own, so that loops are found.
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

/* Whether the session is a lane; the same from its record and flow alone; its member of the
 * pool. */
bool lane_is_record(const struct config_route *route, const struct ledger_session *record,
		    const struct ledger_flow *flow);
bool lane_is(const struct session *session);
uint32_t lane_member(const struct session *session);
