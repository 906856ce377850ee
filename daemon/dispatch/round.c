/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Always true: between two rounds there is a pause, whatever the pool's size; where nothing had a
 * place, there is the queue. */
#include "dispatch/round.h"

#include "base/clock.h"
#include "config/config.h"
#include "dispatch/pool.h"
#include "dispatch/queue.h"
#include "dispatch/target.h"
#include "ledger/generation.h"
#include "session/session.h"
#include "session/slot.h"
#include "session/thread.h"

#include <errno.h>

enum {
	WAITING_MAX_MS = 1000, /* between two looks of a session that waits for another's attempt */
	PAUSE_MIN_MS = 1,      /* whatever retry.backoff is: retries without a pause would use the
				* whole processor */
};

static void wait_until(struct session *session, uint64_t at)
{
	timer_set(&session->thread->loop.timers, &session->timer, at);
}

/* No client would see the failure, or the sender is blocked anyway: retry without limit. */
static bool is_patient(const struct session *session)
{
	const struct ledger_session *record = session_record(session);

	return record->front == FRONT_DIALED ||
	       (record->front == FRONT_FED &&
		(session_row(session, 0)->capabilities & SPLICED_FEED ||
		 session_blocks(session, 0)));
}

/* After the pool's last member, or with no member left to try: how long the next round waits.
 * The last one begins when retry.total is over. */
static uint64_t pause_length(const struct session *session, bool waits)
{
	const struct config_route *route = session->route;
	uint64_t length = route->backoff << (session_record(session)->rounds - 1),
		 now = session->thread->loop.now;
	uint64_t end = session_record(session)->opened + route->retry_total;

	if (length > route->max_backoff)
		length = route->max_backoff;
	if (waits && length > WAITING_MAX_MS * NSEC_PER_MSEC)
		length = WAITING_MAX_MS * NSEC_PER_MSEC;
	if (route->retry_total && !is_patient(session) && end > now && length > end - now)
		length = end - now;
	return length > PAUSE_MIN_MS * NSEC_PER_MSEC ? length : PAUSE_MIN_MS * NSEC_PER_MSEC;
}

void round_end(struct session *session, bool waits)
{
	struct ledger_session *record = session_record(session);

	pool_end_round(session);
	if (record->rounds < LEDGER_ROUNDS_MAX)
		record->rounds++;
	wait_until(session, session->thread->loop.now + pause_length(session, waits));
}

bool round_is_given_up(const struct session *session)
{
	const struct ledger_session *record = session_record(session);
	const struct config_route *route = session->route;

	if (is_patient(session))
		return false;
	return record->attempts >= route->attempts ||
	       (route->retry_total &&
		session->thread->loop.now - record->opened >= route->retry_total);
}

enum connect_result round_give_up(struct session *session, int error)
{
	session->connect_error = error;
	return CONNECT_GIVEN_UP;
}

/* The error that the others got; none if no target may be tried at all. */
static int whats_wrong(const struct session *session)
{
	int error = (int)session_target(session)->error;

	if (!target_addresses(session->thread->worker->ledger,
			      session_endpoint(session, session_connecting_side(session)),
			      session_target_slot(session)))
		return -EADDRNOTAVAIL; /* its name does not resolve */
	return error ? -error : -EHOSTDOWN;
}

/* No target was tried, because other sessions do that: a session that gives up meanwhile reports
 * their error. It is no attempt, unless nothing else ends it. */
static enum connect_result wait_for_others(struct session *session)
{
	struct ledger_session *record = session_record(session);

	if (!session->route->retry_total && record->attempts < UINT32_MAX)
		record->attempts++;
	if (round_is_given_up(session))
		return round_give_up(session, whats_wrong(session));
	round_end(session, true);
	return CONNECT_WAITS;
}

enum connect_result round_end_wait(struct session *session)
{
	queue_forget(session);
	slot_note_limit(session->thread,
			session->generation->route_slots[session_record(session)->route],
			PAUSE_FULL);
	if (!is_patient(session)) {
		session->connect_error = 0;
		return CONNECT_FULL;
	}
	round_end(session, true);
	return CONNECT_WAITS;
}

static enum connect_result wait_for_place(struct session *session)
{
	if (queue_has(session))
		return CONNECT_WAITS;
	pool_end_round(session);
	if (!queue_enter(session))
		return round_end_wait(session);
	wait_until(session, session_flow(session)->waits_until);
	/* One may have become free before the ticket could be seen. */
	queue_call(session->thread,
		   session->generation->route_slots[session_record(session)->route]);
	return CONNECT_WAITS;
}

enum connect_result round_choose(struct session *session)
{
	bool begins = !pool_goes_on(session);
	enum pool_result r = pool_next(session);

	if (r == POOL_FULL)
		return wait_for_place(session);
	if (queue_has(session)) {
		queue_leave(session);
		timer_clear(&session->thread->loop.timers, &session->timer);
	}
	if (r == POOL_TAKEN)
		return CONNECT_NEXT;
	queue_forget(session);
	if (begins)
		return wait_for_others(session);
	round_end(session, false);
	return CONNECT_WAITS;
}
