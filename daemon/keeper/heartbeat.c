/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Heartbeats. The last counts seen are in the keeper's own memory. */
#include "keeper/heartbeat.h"

#include "ledger/ledger.h"

#include <signal.h>
#include <string.h>

static uint64_t seen[LEDGER_THREADS_MAX];
static unsigned still[LEDGER_THREADS_MAX];
static bool was_starting;

void heartbeat_forget(void)
{
	memset(still, 0, sizeof still);
}

/* One that adopts what there is may have much to do. */
static bool is_starting(const struct ledger *ledger)
{
	return ledger->keeper->worker_state == WORKER_SWEEPING;
}

bool heartbeat_check(struct ledger *ledger)
{
	unsigned limit = is_starting(ledger) ? HEARTBEAT_START_TICKS : HEARTBEAT_HANG_TICKS;
	bool hung = false;

	if (was_starting && !is_starting(ledger))
		heartbeat_forget();
	was_starting = is_starting(ledger);

	for (uint32_t i = 0; i <= ledger->n_threads; i++) {
		uint64_t beats = atomic_load(&ledger->threads[i].beats);

		still[i] = beats == seen[i] ? still[i] + 1 : 0;
		seen[i] = beats;
		if (still[i] < limit)
			continue;
		hung = true;
		ledger->threads[i].crashed = SIGKILL;
	}
	return hung;
}

bool heartbeat_is_regular(const struct ledger *ledger)
{
	for (uint32_t i = 0; i <= ledger->n_threads && !is_starting(ledger); i++)
		if (still[i] > HEARTBEAT_STILL_TICKS)
			return false;
	return true;
}
