/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rate limit of log messages: a repeated event is logged at intervals, with the number of
 * repetitions: for each route and each of these topics. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct thread;
struct worker;

enum ratelimit_topic { RATELIMIT_LOOP, RATELIMIT_REFUSED, RATELIMIT_PAUSED, RATELIMIT_TOPICS };

enum { RATELIMIT_SECONDS = 10 };

/* Once for a worker. 0 or -ENOMEM. */
int ratelimit_init(struct worker *worker);

/* An event of the route with this record of the ledger. Returns whether it is to be logged now:
 * the first time, and then not more often than each RATELIMIT_SECONDS. *times: how often it has
 * happened since it was last logged. */
bool ratelimit_allows(const struct thread *thread, enum ratelimit_topic topic, uint32_t route_slot,
		      uint32_t *times);

/* ", N times since this was last said" if it was more than once; else empty. text:
 * RATELIMIT_TEXT_MAX bytes. Returns text. */
enum { RATELIMIT_TEXT_MAX = 64 };
const char *ratelimit_times(uint32_t times, char text[RATELIMIT_TEXT_MAX]);
