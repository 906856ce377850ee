/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The set of listening sockets, across generations. Prepared while the old worker runs, committed
 * between two workers; until then a new socket is PENDING in the ledger, and no client reaches it:
 * it can be taken back.
 */
#pragma once

#include <stdbool.h>

struct generation;
struct ledger;
struct report;

/* After a ledger was taken over: recomputes the digests of the listeners, which another release
 * may have computed differently. */
void listener_set_take_over(struct ledger *ledger, struct generation *newest);

/* Finds, for each listening leg of the generation, the open socket that fits, and has an errand
 * (errand.h) open those that are missing. When that is over, which may be at once,
 * listener_set_prepared() returns the result. On any failure what was opened is closed again,
 * and a negative errno is returned, with the reason in report: if by the first, there is nothing
 * to wait for. */
int listener_set_prepare(struct ledger *ledger, struct generation *generation,
			 struct report *report);
int listener_set_prepared(struct ledger *ledger, struct generation *generation,
			  struct report *report);

/* Has an errand try to open those listeners of the generation that wait: this kernel lacks the
 * family, or the device is not there; the others run without them. Those that have lost their place
 * (binding.h) are opened once more; the old ones leave then. When it is over: whether some are
 * PENDING now. */
void listener_set_try(struct ledger *ledger, struct generation *newest);
bool listener_set_has_come(struct ledger *ledger);

/* Listeners of the generation that runs, and that have no record, because it was dropped when the
 * ledger was taken over, get one that waits. Whether there are such. */
bool listener_set_complete(struct ledger *ledger, struct generation *newest);

/* Takes back what is PENDING for the generation. What that leaves behind, an errand removes: none
 * is under way. */
void listener_set_cancel(struct ledger *ledger, struct generation *generation);

/* No worker runs: what is PENDING opens, and nothing else changes. */
void listener_set_open(struct ledger *ledger, struct generation *newest);

/* No worker runs: new sockets open, kept ones move to the new generation, the others leave.
 * `newest` is the prepared generation, followed by the earlier ones. */
void listener_set_commit(struct ledger *ledger, struct generation *newest);

/* The daemon ends: removes what binding left in the file system, and waits for that, but not for
 * long. The descriptors close with the process. */
void listener_set_end(struct ledger *ledger, struct generation *newest);
