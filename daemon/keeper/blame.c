/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blame. It runs in the keeper, between the death of a worker and the birth of its heir, when nobody else writes. */
#include "keeper/blame.h"

#include "base/log.h"
#include "flow/session.h"
#include "ledger/ledger.h"

enum { DEATHS_FORGIVEN = 1, DEATHS_LISTENER_SKIPS = 2, DEATHS_LISTENER_PAUSES = 3 };

static void blame_session(struct ledger *ledger, uint32_t slot)
{
	struct ledger_session *record = &ledger->sessions[slot];

	if (record->state != SESSION_CONNECTING && record->state != SESSION_RELAYING)
		return;
	if (++record->deaths <= DEATHS_FORGIVEN)
		return;
	log_error("session %u.%u was in hand at %u deaths of the worker: it is dropped", slot, record->serial,
		  record->deaths);
	record->kill = END_POISON;
}

static void blame_listener(struct ledger *ledger, uint32_t index)
{
	struct ledger_listener *record = &ledger->listeners[index];

	if (record->state != LISTENER_OPEN && record->state != LISTENER_LEAVING)
		return;
	if (++record->deaths == DEATHS_LISTENER_SKIPS)
		record->skip = 1;
	if (record->deaths < DEATHS_LISTENER_PAUSES)
		return;
	log_error("a listener was in hand at %u deaths of the worker: it is paused until a reload", record->deaths);
	record->paused = PAUSE_DEATHS;
}

static void blame_thread(struct ledger *ledger, const struct ledger_thread *thread)
{
	uint64_t hand = thread->hand;
	uint32_t index = (uint32_t)hand;

	switch ((enum ledger_hand)(hand >> 32)) {
	case HAND_EMPTY:
		return;
	case HAND_SESSION:
		if (index < ledger->n_sessions)
			blame_session(ledger, index);
		return;
	case HAND_LISTENER:
		if (index < LEDGER_LISTENERS_MAX)
			blame_listener(ledger, index);
		return;
	}
}

void blame_hands(struct ledger *ledger)
{
	for (uint32_t i = 0; i <= ledger->n_threads; i++)
		if (ledger->threads[i].crashed)
			blame_thread(ledger, &ledger->threads[i]);
}
