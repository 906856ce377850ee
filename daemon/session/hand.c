/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hands. The keeper pauses a route only between two workers, so the barred callbacks do not change
 * during a worker's life; if no route is paused there is no table.
 */
#include "session/hand.h"

#include "base/assert.h"
#include "config/config.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "net/callback.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t barred_word(const struct worker *worker, const struct ledger_route *route)
{
	const struct family *family =
		route->paused == ROUTE_PAUSED ? family_find(worker->families, route->family) : NULL;

	if (route->paused > ROUTE_PAUSED)
		return CALLBACK_EVERY;
	return family && route->callback ? callback_word(family, route->callback) : 0;
}

int hands_init(struct worker *worker)
{
	const struct ledger *ledger = worker->ledger;
	uint32_t high = ledger_routes_high(ledger);

	for (uint32_t slot = 0; slot < high; slot++) {
		uint32_t word =
			ledger->routes[slot].used ? barred_word(worker, &ledger->routes[slot]) : 0;

		if (word && !worker->barred)
			worker->barred = calloc(high, sizeof *worker->barred);
		if (word && !worker->barred)
			return -ENOMEM;
		if (word)
			worker->barred[slot] = word;
	}
	return 0;
}

static void take(const struct thread *thread, enum ledger_hand hand, uint32_t index,
		 const struct generation *generation, uint32_t route)
{
	const uint32_t *barred = thread->worker->barred;

	assert(thread_is_self(thread));
	thread_beat(thread);
	ledger_hold(thread->record, hand, index);
	/* An event may come late, when its slot belongs to another thread. */
	callback_state.barred = barred && generation && route < generation->config->n_routes
					? barred[generation->route_slots[route]]
					: 0;
	callback_state.refused = false;
}

void hand_session(const struct session *session)
{
	take(session->thread, HAND_SESSION, session_slot(session), session->generation,
	     session_record(session)->route);
}

void hand_listener(const struct thread *thread, uint32_t index)
{
	const struct ledger_listener *record = &thread->worker->ledger->listeners[index];
	const struct generation *generation =
		thread->worker->barred
			? generation_find(thread->worker->generations, record->generation)
			: NULL;

	assert(index < LEDGER_LISTENERS_MAX);
	take(thread, HAND_LISTENER, index, generation, record->route);
}

void hand_route(const struct thread *thread, uint32_t slot)
{
	assert(slot < LEDGER_ROUTES_MAX);
	take(thread, HAND_ROUTE, slot, NULL, 0);
	callback_state.barred = thread->worker->barred ? thread->worker->barred[slot] : 0;
}

void hand_empty(const struct thread *thread)
{
	take(thread, HAND_EMPTY, 0, NULL, 0);
}
