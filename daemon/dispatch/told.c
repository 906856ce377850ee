/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/told.h"

#include "base/clock.h"
#include "ledger/ledger.h"
#include "session/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct told {
	_Atomic uint32_t at, count; /* s, CLOCK_MONOTONIC, 0: never; how often since */
};

int told_init(struct worker *worker)
{
	worker->told = calloc((size_t)TOLD_TOPICS * LEDGER_ROUTES_MAX, sizeof *worker->told);
	return worker->told ? 0 : -ENOMEM;
}

bool told_again(const struct thread *thread, enum told_topic topic, uint32_t route_slot,
		uint32_t *times)
{
	struct told *told = &thread->worker->told[(size_t)topic * LEDGER_ROUTES_MAX + route_slot];
	uint32_t now = (uint32_t)(thread->loop.now / NSEC_PER_SEC) + 1, at = atomic_load(&told->at);

	atomic_fetch_add(&told->count, 1);
	if ((at && now - at < TOLD_SECONDS) || !atomic_compare_exchange_strong(&told->at, &at, now))
		return false;
	*times = atomic_exchange(&told->count, 0);
	return true;
}

const char *told_times(uint32_t times, char text[TOLD_TEXT_MAX])
{
	*text = '\0';
	if (times > 1)
		snprintf(text, TOLD_TEXT_MAX, ", %u times since this was last logged", times);
	return text;
}
