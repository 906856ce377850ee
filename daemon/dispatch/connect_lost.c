/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What movers report of a target that a session is connected to: whether it is there is known only
 * from what comes back, where connect(2) cannot fail. */
#include "dispatch/connect.h"

#include "base/clock.h"
#include "config/config.h"
#include "dispatch/arrival.h"
#include "dispatch/demand.h"
#include "dispatch/pool.h"
#include "dispatch/target.h"
#include "ledger/generation.h"
#include "move/roam.h"
#include "session/first_message.h"
#include "session/lane.h"
#include "session/session.h"
#include "session/thread.h"

#include <string.h>

enum {
	UNHEARD_SECONDS = 5, /* errors come sooner, also that of an address without a neighbor */
};

static const struct config_endpoint *endpoint_of(const struct session *session)
{
	return session_endpoint(session, session_connecting_side(session));
}

/* Only an answer shows that the target is there. */
static bool may_go_unheard(const struct session *session)
{
	return pool_row_goes_unheard(session_row(session, session_connecting_side(session)));
}

void connect_proven(struct session *session)
{
	session->proven = true;
	if (may_go_unheard(session))
		target_succeeded(session->thread->worker->ledger, session_target(session),
				 session_record(session)->address);
	first_message_forget(session);
}

void connect_sent(struct session *session)
{
	struct ledger_target *target = session_target(session);
	uint64_t now = session->thread->loop.now;

	if (session->unheard <= target->failed_at)
		session->unheard = now;
	if (target->failures && now - session->unheard >= UNHEARD_SECONDS * NSEC_PER_SEC &&
	    may_go_unheard(session))
		target_succeeded(session->thread->worker->ledger, target, 0);
}

/* Nothing receives at the address that messages go to. True: it had answered in the target's
 * place; messages go to the target itself again. */
static bool is_lost_elsewhere(struct session *session)
{
	const struct ledger_session *record = session_record(session);
	struct address home, far = {.len = session_flow(session)->far_len};
	unsigned leg;

	memcpy(&far.storage, session_flow(session)->far, far.len);
	if (!arrival_address(session, record->address, &leg, &home) || address_is_same(&home, &far))
		return false;
	roam_aim(session, &home);
	return true;
}

bool connect_lost(struct session *session, int error)
{
	struct ledger_session *record = session_record(session);
	bool answered = session_flow(session)->messages[1] != 0, all_down;

	if (session->roams && is_lost_elsewhere(session))
		return false;
	session->proven = false;
	if (demand_lost(session)) {
		if (pool_has_another(session))
			pool_leave_member(session, true);
		else
			record->cursor = record->target + 1;
		return !lane_is(session);
	}
	target_failed(session->thread->worker->ledger, session_target(session),
		      &endpoint_of(session)->member, session->thread->loop.now, error);
	ledger_count(&session_counter(session)->connect_errors, 1);
	if (lane_is(session) || !session->moves_left ||
	    (answered &&
	     !target_is_down(session->thread, session->generation, record->route, record->target)))
		return false;
	all_down = pool_is_down(session);
	if (!all_down && !pool_has_another(session))
		return false;
	/* While no target is known to answer, each message of the client tries one. */
	pool_leave_member(session, session->moves_left + 1 == session->route->n_targets);
	session->moves_left = all_down ? 0 : session->moves_left - 1;
	return true;
}
