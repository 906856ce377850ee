/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The member stands where others have what the family's reply() made: an heir finds the lane by it, too. */
#include "flow/lane.h"

#include "config/config.h"
#include "flow/peers.h"
#include "flow/session.h"
#include "flow/target.h"
#include "flow/thread.h"
#include "ledger/generation.h"

#include <string.h>

bool lanes_have(const struct config_route *route)
{
	return route->replies == 0;
}

bool lane_is_record(const struct config_route *route, const struct ledger_session *record, const struct ledger_flow *flow)
{
	return record->front == FRONT_FED && lanes_have(route) && !flow->peer_len && flow->reply_len == sizeof(uint32_t);
}

bool lane_is(const struct session *session)
{
	return lane_is_record(session->route, session_record(session), session_flow(session));
}

uint32_t lane_member(const struct session *session)
{
	uint32_t member;

	memcpy(&member, session_flow(session)->reply, sizeof member);
	return member % session->route->n_targets;
}

void lane_peer(uint32_t listener, uint32_t member, struct peer *ret)
{
	static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	*ret = (struct peer){.listener = listener, .address = &nobody, .reply_len = sizeof member};
	memcpy(ret->reply, &member, sizeof member);
}

/* The next that is not known to be down; where all are, simply the next. */
static uint32_t choose(const struct thread *thread, const struct generation *generation, uint32_t route, uint32_t turn)
{
	uint32_t count = generation->config->routes[route].n_targets;

	for (uint32_t i = 0; i < count; i++)
		if (!target_is_down(thread, generation, route, (turn + i) % count))
			return (turn + i) % count;
	return turn % count;
}

void lanes_choose(struct thread *thread, const struct generation *generation, uint32_t route, uint32_t *members, unsigned count)
{
	uint32_t turn = target_take_turns(thread, generation, route, count);

	for (unsigned i = 0; i < count; i++)
		members[i] = choose(thread, generation, route, turn + i);
}
