/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Eviction: if a route has no place left for a new peer, the datagram session that was idle for
 * the longest time (idle.h) is ended. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct thread;

/* Ends the oldest session of the route (its record in the ledger) that was idle for at least
 * this long. False: this thread has none; then another thread is asked to end one, which takes a
 * moment. */
bool evict_oldest(struct thread *thread, uint32_t route, uint64_t at_least);

/* What another thread has asked for. */
void evict_for_others(struct thread *thread);
