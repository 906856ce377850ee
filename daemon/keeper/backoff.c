/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/backoff.h"

#include "base/clock.h"

enum {
	AT_ONCE = 3,	     /* the first ones */
	FIRST_MS = 100,	     /* doubled up to BACKOFF_MAX_MS */
	FORGET_SECONDS = 60, /* a worker that lived this long resets the count */
};

uint64_t backoff_next(struct backoff *backoff, uint64_t lived)
{
	uint64_t ms = FIRST_MS;

	if (lived > FORGET_SECONDS * NSEC_PER_SEC)
		backoff->deaths = 0;
	if (++backoff->deaths <= AT_ONCE)
		return 0;
	for (unsigned i = AT_ONCE + 1; i < backoff->deaths && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}
