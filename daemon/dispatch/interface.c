/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/interface.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "ledger/generation.h"
#include "net/callback.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>
#include <string.h>

static bool wants_looks(const struct session *session, unsigned side)
{
	const struct config_leg *leg = session_leg(session, side);

	return leg->row->capabilities & (SPLICED_FEED | SPLICED_BINDS) && leg->family->plugin.check;
}

/* What it waits for is logged when the wait begins, and when it ends. */
static void tell(struct session *session, unsigned side, int r, const struct report *report)
{
	const struct config_endpoint *endpoint = session_endpoint(session, side);
	_Atomic int32_t *waits = &session_flow(session)->waits[side];

	if (*waits == -r)
		return;
	if (report->text)
		log_warning("%.*s", (int)strcspn(report->text, "\n"), report->text);
	else if (r < 0)
		log_warning("route %s: %s waits: %s", session->route->name, endpoint->text,
			    strerror(-r));
	else
		log_notice("route %s: %s is back", session->route->name, endpoint->text);
	*waits = -r;
}

/* A feed's socket belongs to its listener: the keeper opens another. A socket opened for the
 * session is closed with it. */
static void replace(struct session *session, unsigned side)
{
	const struct ledger_session *record = session_record(session);

	assert(side < 2);
	if (!side && record->front == FRONT_FED) {
		atomic_store(&session->thread->worker->ledger->listeners[record->listener].useless,
			     1);
		return;
	}
	session->useless = true;
	session_look_again(session, session->thread->loop.now);
}

int interface_check_side(struct session *session, unsigned side)
{
	const struct config_leg *leg = session_leg(session, side);
	struct report report = {0};
	uint64_t lost = 0;
	int r;

	assert(side < 2);
	if (!wants_looks(session, side))
		return 0;
	config_hear(session->generation->config, session->route, session_endpoint(session, side),
		    leg, &report);
	r = (int)CALLBACK(
		leg->family, check,
		leg->family->plugin.check(session_fd(session, side), &leg->options, &lost));
	config_hear_nothing();
	if (r == CALLBACK_REFUSED)
		return r;
	ledger_count(&session_counter(session)->lost, lost);
	tell(session, side, r, &report);
	report_done(&report);
	if (r == -EBADFD)
		replace(session, side);
	return r;
}

void interface_check_both(struct session *session)
{
	for (unsigned side = 0; side < 2; side++)
		interface_check_side(session, side);
	session->look = session->thread->loop.now + NSEC_PER_SEC;
}

void interface_check_when_due(struct session *session)
{
	if (!wants_looks(session, 0) && !wants_looks(session, 1))
		return;
	if (session->look <= session->thread->loop.now)
		interface_check_both(session);
	session_look_again(session, session->look);
}
