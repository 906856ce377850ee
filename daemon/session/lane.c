/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The member is stored where other sessions have the result of the family's reply(); an heir finds
 * the lane by it. */
#include "session/lane.h"

#include "base/assert.h"
#include "config/config.h"
#include "session/session.h"

#include <string.h>

bool lanes_have(const struct config_route *route)
{
	return route->replies == 0;
}

bool lane_is_record(const struct config_route *route, const struct ledger_session *record,
		    const struct ledger_flow *flow)
{
	return record->front == FRONT_FED && lanes_have(route) && !flow->peer_len &&
	       flow->reply_len == sizeof(uint32_t);
}

bool lane_is(const struct session *session)
{
	return lane_is_record(session->route, session_record(session), session_flow(session));
}

uint32_t lane_member(const struct session *session)
{
	uint32_t member;

	assert(lane_is(session) && session->route->n_targets > 0);
	memcpy(&member, session_flow(session)->reply, sizeof member);
	return member % session->route->n_targets;
}
