/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What open sessions and sockets add to the counters: it is in their records, or in the kernel. */
#pragma once

#include <stdint.h>

struct generation;
struct ledger;

struct live {
	uint64_t (*bytes)[2]; /* by route's record */
	uint64_t *kernel; /* by route's record: messages that the kernel has dropped at open sockets
			   */
	uint32_t *sessions; /* by target's record; a target of an older generation counts at its
			     * own record */
};

/* Counted in one pass over them. 0 or -ENOMEM; live_done() in any case. */
int live_count(struct live *live, const struct ledger *ledger, struct generation *generations);
void live_done(struct live *live);
