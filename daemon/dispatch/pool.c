/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/pool.h"

#include "config/config.h"
#include "dispatch/target.h"
#include "ledger/generation.h"
#include "move/mover.h"
#include "session/lane.h"
#include "session/session.h"
#include "session/thread.h"

bool pool_row_goes_unheard(const struct spliced_row *row)
{
	return row->capabilities & SPLICED_CONNECTIONLESS &&
	       !(row->capabilities & SPLICED_RELIABLE);
}

/* Messages that are handed in meanwhile may be framed for the target already. */
static void take_member(struct session *session, uint32_t member)
{
	struct ledger_session *record = session_record(session);

	if (record->front == FRONT_FED)
		mover_forget_frames(session, &session->route->targets[member]);
	record->connect_leg = 0; /* another target may have fewer */
	record->target = member;
}

/* last: nobody else is left in this round, and none was tried. */
static bool may_be_asked(const struct session *session, uint32_t member, bool last)
{
	const struct ledger_session *record = session_record(session);
	const struct thread *thread = session->thread;

	if (lane_is(session))
		return true;
	if (pool_row_goes_unheard(session->route->targets[member].legs[0].row))
		return session->pool_down || last ||
		       !target_is_down(thread, session->generation, record->route, member);
	return target_may_be_asked(thread, session->generation, record->route, member,
				   session->pool_down,
				   thread->loop.now + session->route->connect_timeout);
}

static bool next_member(struct session *session)
{
	struct ledger_session *record = session_record(session);
	uint32_t count = session->route->n_targets;
	bool begins = !session->pool_left;

	if (begins) {
		session->pool_left = lane_is(session) ? 1 : count;
		session->pool_down =
			lane_is(session) ||
			target_all_down(session->thread, session->generation, record->route);
	}
	while (session->pool_left) {
		uint32_t member = lane_is(session) ? lane_member(session) : record->cursor % count;

		record->cursor = member + 1;
		session->pool_left--;
		if (may_be_asked(session, member, begins && !session->pool_left)) {
			take_member(session, member);
			return true;
		}
	}
	return false;
}

bool pool_next(struct session *session)
{
	if (!next_member(session))
		return false;
	if (session_record(session)->front == FRONT_FED)
		mover_plan(session);
	return true;
}

bool pool_has_another(const struct session *session)
{
	const struct ledger_session *record = session_record(session);

	for (uint32_t i = 0; i < session->route->n_targets; i++)
		if (i != record->target &&
		    !target_is_down(session->thread, session->generation, record->route, i))
			return true;
	return false;
}

bool pool_has_one_that_works(const struct session *session)
{
	const struct ledger_session *record = session_record(session);

	for (uint32_t i = 0; i < session->route->n_targets; i++)
		if (i != record->target &&
		    !target_fails(session->thread, session->generation, record->route, i))
			return true;
	return false;
}

/* The next that is not known to be down; where all are, simply the next. */
static uint32_t choose(const struct thread *thread, const struct generation *generation,
		       uint32_t route, uint32_t turn)
{
	uint32_t count = generation->config->routes[route].n_targets;

	for (uint32_t i = 0; i < count; i++)
		if (!target_is_down(thread, generation, route, (turn + i) % count))
			return (turn + i) % count;
	return turn % count;
}

void pool_choose(struct thread *thread, const struct generation *generation, uint32_t route,
		 uint32_t *members, unsigned count)
{
	uint32_t turn = target_take_turns(thread, generation, route, count);

	for (unsigned i = 0; i < count; i++)
		members[i] = choose(thread, generation, route, turn + i);
}
