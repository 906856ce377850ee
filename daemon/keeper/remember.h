/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What operators have set by hand is remembered even if no ledger is left: its memfd
 * (ledger/by_hand.h) lies in the service manager's descriptor store as long as the service runs.
 */
#pragma once

#include <stdbool.h>

struct generation;
struct ledger;

#define REMEMBER_NAME "spliced-by-hand"

/* The manager has passed it. */
void remember_take(int fd);

/* Before execv(3), and after one that failed: the new program inherits the memfd, or does not. It
 * calls remember_find(). */
void remember_pass(const struct ledger *ledger);
void remember_pass_no_more(const struct ledger *ledger);
void remember_find(void);

/* At the end of a start, and no worker runs: what was passed is read and applied to the
 * configuration, unless a ledger was taken over, which knows better. From now on the present
 * settings are kept. */
void remember_begin(struct ledger *ledger, const struct generation *newest, bool took_over);
