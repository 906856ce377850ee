/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Renewal: a session of an earlier generation takes its place in the newest, if its route, both its
 * endpoints and their options mean the same there. They are compared by names and digests: routes
 * and endpoints may have changed their places.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct generation;
struct ledger;

/* Where the routes and endpoints of each earlier generation are in the newest one. */
struct renewal;

/* For the generations of a list, newest first. NULL without memory. */
struct renewal *renewal_new(const struct generation *newest);
struct renewal *renewal_free(struct renewal *renewal);

/* Takes the session in this slot over to the newest generation. False: it has no place there. If
 * the process dies in between, the change is completed later: a record is never found half
 * changed. */
bool renewal_take(struct renewal *renewal, struct ledger *ledger, uint32_t slot);

/* Completes what a worker did not finish. No worker runs. */
void renewal_finish(struct ledger *ledger);
