/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drops: counted by reason, route and thread. */
#include "move/sink_drop.h"

#include "base/assert.h"
#include "session/session.h"
#include "session/tally.h"

void sink_drop(struct session *session, enum drop why, uint64_t count)
{
	assert(why < DROPPED_REASONS);
	ledger_count(&session_counter(session)->dropped[why], count);
}

void sink_return(struct session *session, unsigned d)
{
	/* Nothing was sent yet: the error belongs to the next message. */
	if (!session_flow(session)->messages[d])
		return;
	tally_return(session, d);
	sink_drop(session, DROPPED_UNREACHABLE, 1);
}
