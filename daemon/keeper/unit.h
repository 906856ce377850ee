/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Units on demand: starts those that sessions ask for, and stops those of them that have had no
 * session for long enough. What may block is done by helpers, children of the keeper's.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct generation;
struct ledger;

/* At each turn while no heir sweeps. */
void unit_turn(struct ledger *ledger, struct generation *newest);

/* A child has ended: true, it was a helper. */
bool unit_helper_ended(struct ledger *ledger, pid_t pid, int status);

/* Ends the helpers, and waits for that; what they were about to do is done by the next keeper of
 * the ledger. */
void unit_leave(void);
