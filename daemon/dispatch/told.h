/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happens again and again is told once in a while, with how often it happened: of each route,
 * and of each of these. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct thread;
struct worker;

enum told_topic { TOLD_LOOP, TOLD_REFUSED, TOLD_PAUSED, TOLD_TOPICS };

enum { TOLD_SECONDS = 10 };

/* Once for a worker. 0 or -ENOMEM. */
int told_init(struct worker *worker);

/* It has happened, to the route with this record of the ledger. Whether it is to be told now: the
 * first time, and then not more often than each TOLD_SECONDS. *times: how often it has happened
 * since it was told last. */
bool told_again(const struct thread *thread, enum told_topic topic, uint32_t route_slot,
		uint32_t *times);

/* ", N times since this was last said" where it was more than once; else empty. text: TOLD_TEXT_MAX
 * bytes. Returns text. */
enum { TOLD_TEXT_MAX = 64 };
const char *told_times(uint32_t times, char text[TOLD_TEXT_MAX]);
