/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Workers, seen from the keeper: starting one, with the same descriptor table as all before it. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct families;
struct generation;
struct ledger;

/* Starts a worker that adopts what is open in the ledger. planned: the previous one stopped
 * normally, and nothing need be audited. The worker reports by the ledger's worker_state, and
 * the eventfd keeper_wake, that it is ready. Returns its pid or negative errno. */
pid_t heir_start(struct ledger *ledger, struct generation *generations,
		 const struct families *families, bool planned);

/* The worker's life, in the calling process: adopts, starts its threads, waits for SIGTERM, stops.
 * Returns an exit status. Where there is no keeper (--single), the caller's own. */
int heir_run(struct ledger *ledger, struct generation *generations, const struct families *families,
	     bool planned);
