/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Live counts. Their sockets belong to other threads, and may be closed meanwhile: a count is
 * used if the record still names the socket. */
#include "control/live.h"

#include "config/config.h"
#include "ledger/generation.h"
#include "ledger/glance.h"
#include "ledger/ledger.h"
#include "net/socket.h"

#include <errno.h>
#include <stdlib.h>

void live_done(struct live *live)
{
	free(live->bytes);
	free(live->kernel);
	free(live->sessions);
}

static void count_kernel(const struct live *live, const struct ledger *ledger, uint32_t slot,
			 const struct ledger_session *record, struct generation *generations,
			 uint32_t route)
{
	for (unsigned side = 0; side < 2; side++) {
		const struct config_leg *leg = generation_leg(generations, record, side);
		uint32_t drops;

		if (!leg || record->fd[side] < 0 || !socket_may_drop(leg->row))
			continue;
		drops = socket_drops(record->fd[side]);
		if (ledger->sessions[slot].serial == record->serial &&
		    ledger->sessions[slot].fd[side] == record->fd[side])
			live->kernel[route] += drops;
	}
}

static void count_session(const struct live *live, const struct ledger *ledger, uint32_t slot,
			  struct generation *generations)
{
	const struct generation *generation;
	struct ledger_session record;

	if (ledger->sessions[slot].state != SESSION_RELAYING ||
	    !glance_session(ledger, slot, &record))
		return;
	generation = generation_find(generations, record.generation);
	if (!generation)
		return;
	live->sessions[generation->target_slots[record.route][record.target]]++;
	for (int d = 0; d < 2; d++)
		live->bytes[generation->route_slots[record.route]][d] += record.direction[d].bytes;
	count_kernel(live, ledger, slot, &record, generations,
		     generation->route_slots[record.route]);
}

static void count_listener(const struct live *live, const struct ledger *ledger, uint32_t index,
			   struct generation *generations)
{
	const struct ledger_listener *own = &ledger->listeners[index];
	const struct generation *generation;
	const struct config_leg *leg;
	struct ledger_listener record;

	if ((own->state != LISTENER_OPEN && own->state != LISTENER_LEAVING) ||
	    !glance_listener(ledger, index, &record))
		return;
	generation = generation_find(generations, record.generation);
	leg = generation_listens_by(generations, &record);
	if (!generation || !leg || !socket_may_drop(leg->row))
		return;
	for (uint32_t k = 0; k < ledger_sockets(&record); k++) {
		uint32_t drops =
			record.fds[k] < 0 || record.let_go[k] ? 0 : socket_drops(record.fds[k]);

		if (own->fds[k] == record.fds[k] && !own->let_go[k])
			live->kernel[generation->route_slots[record.route]] +=
				drops - (k ? 0 : record.drops_before);
	}
}

int live_count(struct live *live, const struct ledger *ledger, struct generation *generations)
{
	live->bytes = calloc(LEDGER_ROUTES_MAX, sizeof *live->bytes);
	live->kernel = calloc(LEDGER_ROUTES_MAX, sizeof *live->kernel);
	live->sessions = calloc(LEDGER_TARGETS_MAX, sizeof *live->sessions);
	if (!live->bytes || !live->kernel || !live->sessions)
		return -ENOMEM;
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++)
		count_session(live, ledger, i, generations);
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		count_listener(live, ledger, i, generations);
	return 0;
}
