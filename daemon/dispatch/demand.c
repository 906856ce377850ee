/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/demand.h"

#include "base/clock.h"
#include "config/config.h"
#include "dispatch/pool.h"
#include "ledger/generation.h"
#include "ledger/unit.h"
#include "session/session.h"
#include "session/thread.h"

#include <stdio.h>
#include <unistd.h>

enum { SEEN_MS = 1000 }; /* a unit is assumed to run for this long after systemd reported it */

/* Without a keeper none is started. */
static struct ledger_unit *unit_of(const struct session *session)
{
	const struct ledger_session *record = session_record(session);
	const struct ledger *ledger = session->thread->worker->ledger;
	struct ledger_unit *unit = session_connecting_side(session)
					   ? generation_unit(session->generation, ledger,
							     record->route, record->target)
					   : NULL;

	return unit && ledger->keeper_pid != getpid() ? unit : NULL;
}

static void ask(const struct session *session, struct ledger_unit *unit)
{
	uint32_t answered = unit->answered;
	uint64_t one = 1;

	if (atomic_compare_exchange_strong(&unit->asked, &answered, answered + 1) &&
	    write(session->thread->worker->ledger->keeper_wake, &one, sizeof one) < 0)
		return; /* full: it is being woken already */
}

static bool goes_unheard(const struct session *session)
{
	return pool_row_goes_unheard(
		session->route->targets[session_record(session)->target].legs[0].row);
}

bool demand_holds(const struct session *session)
{
	struct ledger_unit *unit = unit_of(session);
	uint32_t state;

	if (!unit)
		return false;
	/* The keeper writes the state before it looks at this: seq_cst, both. */
	atomic_store(&unit->used_at, session->thread->loop.now);
	state = atomic_load(&unit->state);
	return state == UNIT_STOPPING || (state != UNIT_RUNNING && goes_unheard(session));
}

bool demand_excuses(const struct session *session)
{
	struct ledger_unit *unit = unit_of(session);
	uint64_t now = session->thread->loop.now;

	if (!unit)
		return false;
	ask(session, unit);
	switch ((enum unit_state)atomic_load(&unit->state)) {
	case UNIT_REST:
	case UNIT_STARTING:
	case UNIT_STOPPING:
		return true;
	case UNIT_RUNNING:
		return now < unit->ready_by || now >= unit->seen_at + SEEN_MS * NSEC_PER_MSEC;
	case UNIT_REFUSED:
		return false;
	}
	return false;
}

bool demand_lost(const struct session *session)
{
	struct ledger_unit *unit = unit_of(session);
	uint32_t running = UNIT_RUNNING;

	if (!unit || !demand_excuses(session))
		return false;
	atomic_compare_exchange_strong(&unit->state, &running, UNIT_REST);
	return true;
}

void demand_reached(const struct session *session)
{
	struct ledger_unit *unit = unit_of(session);
	uint32_t state;

	if (!unit)
		return;
	state = atomic_load(&unit->state);
	if (state == UNIT_RUNNING || state == UNIT_STOPPING || goes_unheard(session))
		return;
	if (atomic_compare_exchange_strong(&unit->state, &state, UNIT_RUNNING))
		unit->problem = UNIT_PROBLEM_NONE;
}

const char *demand_explain(const struct session *session, const char *reason, char *text,
			   size_t size)
{
	const struct ledger_session *record = session_record(session);
	const struct ledger_unit *unit =
		generation_unit(session->generation, session->thread->worker->ledger, record->route,
				record->target);
	const char *name = session->route->targets[record->target].unit;

	if (!unit || unit->state == UNIT_RUNNING)
		return reason;
	if (unit->problem)
		snprintf(text, size, "%s; unit %s cannot be started: %s", reason, name,
			 unit_problem_text(unit->problem));
	else
		snprintf(text, size, "%s; unit %s is %s", reason, name,
			 unit_state_name(unit->state));
	return text;
}
