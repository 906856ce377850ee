/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/ratelimit.h"

#include "base/assert.h"
#include "base/clock.h"
#include "ledger/ledger.h"
#include "session/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct ratelimit {
	_Atomic uint32_t at, count; /* s, CLOCK_MONOTONIC, 0: never; how often since */
};

int ratelimit_init(struct worker *worker)
{
	worker->ratelimit =
		calloc((size_t)RATELIMIT_TOPICS * LEDGER_ROUTES_MAX, sizeof *worker->ratelimit);
	return worker->ratelimit ? 0 : -ENOMEM;
}

bool ratelimit_allows(const struct thread *thread, enum ratelimit_topic topic, uint32_t route_slot,
		      uint32_t *times)
{
	struct ratelimit *ratelimit =
		&thread->worker->ratelimit[(size_t)topic * LEDGER_ROUTES_MAX + route_slot];
	uint32_t now = (uint32_t)(thread->loop.now / NSEC_PER_SEC) + 1,
		 at = atomic_load(&ratelimit->at);

	assert(topic < RATELIMIT_TOPICS && route_slot < LEDGER_ROUTES_MAX);
	atomic_fetch_add(&ratelimit->count, 1);
	if ((at && now - at < RATELIMIT_SECONDS) ||
	    !atomic_compare_exchange_strong(&ratelimit->at, &at, now))
		return false;
	*times = atomic_exchange(&ratelimit->count, 0);
	return true;
}

const char *ratelimit_times(uint32_t times, char text[RATELIMIT_TEXT_MAX])
{
	*text = '\0';
	if (times > 1)
		snprintf(text, RATELIMIT_TEXT_MAX, ", %u times since this was last logged", times);
	return text;
}
