/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/session_timer.h"

#include "base/assert.h"
#include "base/clock.h"
#include "config/config.h"
#include "dispatch/interface.h"
#include "session/session.h"
#include "session/thread.h"

enum {
	LAST_WORDS_MS = 2000, /* a side to which the other's EOF cannot be forwarded may be
			       * silent for this long */
};

bool session_hears_last_words(const struct session *session)
{
	for (unsigned d = 0; d < 2; d++)
		if (session_record(session)->direction[d].flags & DIRECTION_FIN_SENT &&
		    !session->side[!d].receive_only &&
		    !(session_row(session, !d)->capabilities &
		      (SPLICED_HALF_CLOSE | SPLICED_CONNECTIONLESS | SPLICED_FEED)))
			return true;
	return false;
}

bool session_waits_for_replies(const struct session *session)
{
	return session->exchanges && !session->side[1].receive_only &&
	       !session_is_handed_in(session) &&
	       session_record(session)->direction[0].flags & DIRECTION_EOF &&
	       session_row(session, 1)->capabilities & SPLICED_CONNECTIONLESS;
}

uint64_t session_half_closed_time(const struct session *session)
{
	const struct ledger_session *record = session_record(session);

	if (session_waits_for_replies(session))
		return session->route->message_half_closed_timeout;
	if (session->side[0].receive_only || session->side[1].receive_only ||
	    session_is_handed_in(session))
		return 0;
	return (record->direction[0].flags | record->direction[1].flags) & DIRECTION_EOF
		       ? session->route->half_closed_timeout
		       : 0;
}

uint64_t session_idle_time(const struct session *session)
{
	bool ends_by_idle = session_is_handed_in(session) || session_waits_for_replies(session);
	uint64_t idle =
		ends_by_idle ? session->route->message_idle_timeout : session->route->idle_timeout;
	uint64_t half_closed = session_half_closed_time(session);

	if (session_hears_last_words(session))
		return LAST_WORDS_MS * NSEC_PER_MSEC;
	return half_closed && (!idle || half_closed < idle) ? half_closed : idle;
}

void session_arm(struct session *session)
{
	uint64_t idle = session_idle_time(session);

	assert(session_record(session)->state == SESSION_RELAYING);
	timer_clear(&session->thread->loop.timers, &session->timer);
	if (idle)
		session_look_again(session, session_record(session)->active + idle);
	if (session->wake)
		session_look_again(session, session->wake);
	if (session->doubt)
		session_look_again(session, session->doubt);
	if (session->patience)
		session_look_again(session, session->patience);
	if (session->exchanges)
		interface_check_when_due(session);
	if (session->starved || session->side[0].unwatched || session->side[1].unwatched)
		session_retry(session);
}
