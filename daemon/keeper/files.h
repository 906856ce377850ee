/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files that are left to a worker: Landlock, landlock(7). */
#pragma once

#include <stdbool.h>

struct generation;
struct ledger;

/* Leaves the calling process, which has one thread, the files that serving these generations
 * needs. Connecting to a UNIX socket does not count as using a file, and what is open stays so.
 * Returns an enum ledger_wall, or negative errno: nothing has changed. */
int files_shut(const struct generation *newest);

/* In the keeper, before it starts a worker: which files that one is left. */
void files_note(void);

/* In the keeper: whether one of them has been replaced since, by another that the worker may not
 * read. A worker that resolves no names reads none. */
bool files_are_replaced(const struct ledger *ledger, const struct generation *newest);
