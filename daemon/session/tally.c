/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tally. Its counts are in the ledger: the route's in a column of the thread, what waits of a
 * session in its flow's record too. */
#include "session/tally.h"

#include "config/config.h"
#include "ledger/generation.h"
#include "session/session.h"
#include "session/thread.h"

#include <sys/ioctl.h>

void tally_receive(const struct session *session, unsigned s, uint64_t count)
{
	if (!session->side[s].format)
		ledger_count(&session_counter(session)->received[s], count);
}

void tally_hold(const struct session *session, unsigned d, uint64_t count)
{
	atomic_fetch_add_explicit(&session_flow(session)->held[d], (uint32_t)count,
				  memory_order_relaxed);
	ledger_count(&session_counter(session)->waiting, count);
}

void tally_let_go(const struct session *session, unsigned d, uint64_t count)
{
	_Atomic uint32_t *held = &session_flow(session)->held[d];

	count = count < *held ? count : *held;
	atomic_fetch_sub_explicit(held, (uint32_t)count, memory_order_relaxed);
	ledger_count(&session_counter(session)->waiting, -count);
}

void tally_send_held(const struct session *session, unsigned d)
{
	uint32_t held = session_flow(session)->held[d];

	tally_let_go(session, d, held);
	ledger_count(&session_counter(session)->messages[d], held);
}

void tally_lose_held(const struct session *session, unsigned d)
{
	uint32_t held;

	/* The flow of a session that only relays is not touched. */
	if (!session->exchanges && session_record(session)->direction[d].pipe < 0)
		return;
	held = session_flow(session)->held[d];
	tally_let_go(session, d, held);
	ledger_count(&session_counter(session)->dropped[DROPPED_UNREACHABLE], held);
}

void tally_return(const struct session *session, unsigned d)
{
	ledger_count(&session_counter(session)->returned[d], 1);
}

/* ---- adoption ---- */

/* As many as there can be: the worker may have died on its way to write into the pipe, or after it
 * was emptied. */
static uint32_t still_held(const struct ledger_session *record, const struct ledger_flow *flow,
			   unsigned d)
{
	int bytes = 0;

	if (record->direction[d].pipe < 0 ||
	    ioctl(record->direction[d].pipe, FIONREAD, &bytes) < 0 || bytes <= 0)
		return 0;
	return flow->held[d] < (uint32_t)bytes ? flow->held[d] : (uint32_t)bytes;
}

static void adopt_session(const struct worker *worker, uint32_t slot)
{
	const struct ledger_session *record = &worker->ledger->sessions[slot];
	const struct generation *generation =
		generation_find(worker->generations, record->generation);
	struct ledger_flow *flow = &worker->ledger->flows[slot];

	/* The flow of a session that only relays is not touched: it has messages in a pipe, or
	 * none. */
	for (unsigned d = 0; d < 2; d++) {
		if (record->direction[d].pipe < 0)
			continue;
		flow->held[d] = still_held(record, flow, d);
		ledger_count(&ledger_counter(worker->ledger, record->thread,
					     generation->route_slots[record->route])
				      ->waiting,
			     flow->held[d]);
	}
}

/* More was received than is accounted for: it was in hand. Or less: it was on its way already, and
 * will come again. */
static void balance(const struct ledger *ledger, uint32_t slot)
{
	struct ledger_counter *first = ledger_counter(ledger, 0, slot);
	uint64_t missing = 0;

	for (uint32_t thread = 0; thread <= ledger->n_threads; thread++) {
		const struct ledger_counter *counter = ledger_counter(ledger, thread, slot);

		for (unsigned d = 0; d < 2; d++)
			missing +=
				counter->received[d] - counter->messages[d] + counter->returned[d];
		for (unsigned i = 0; i < DROPPED_REASONS; i++)
			missing -= counter->dropped[i];
		missing -= counter->waiting;
	}
	if ((int64_t)missing > 0)
		ledger_count(&first->dropped[DROPPED_CRASH], missing);
	else
		ledger_count(&first->received[0], -missing);
}

static bool has_format(const struct config_route *route)
{
	bool found = false;

	for (unsigned i = 0; i < route->n_listen; i++)
		found |= route->listen[i].format != NULL;
	for (unsigned i = 0; i < route->n_dial; i++)
		found |= route->dial[i].format != NULL;
	for (unsigned i = 0; i < route->n_targets; i++)
		found |= route->targets[i].format != NULL;
	return found;
}

void tally_adopt(const struct worker *worker)
{
	const struct ledger *ledger = worker->ledger;
	const struct generation *newest = worker->generations;

	for (uint32_t thread = 0; thread <= ledger->n_threads; thread++)
		for (uint32_t i = 0; i < ledger_routes_high(ledger); i++)
			if (ledger->routes[i].used)
				ledger_counter(ledger, thread, i)->waiting = 0;
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++)
		if (ledger->sessions[i].state != SESSION_FREE)
			adopt_session(worker, i);
	for (unsigned i = 0; i < newest->config->n_routes; i++)
		if (!has_format(&newest->config->routes[i]))
			balance(ledger, newest->route_slots[i]);
}
