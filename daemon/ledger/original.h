/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Originals: what the keeper itself has written into the ledger, once more in memory of its own. A worker that goes astray may have written
 * anywhere in the ledger; the keeper acts on its own numbers of descriptors, its own counts and its own listeners, and puts them back where they
 * have changed. What a worker writes is not among them: validate.h looks at that.
 *
 * The keeper restores before it acts, and notes after it has, where it has written (touched, ledger.h): what it has not, it does not read again.
 */
#pragma once

#include <stdbool.h>

struct ledger;

/* Begins to keep originals, of what the ledger says now. 0 or -ENOMEM: then everything is believed. */
int original_new(struct ledger *ledger);
void original_free(struct ledger *ledger);

/* What the keeper has written is as it should be. Nothing is looked at unless it was touched; all: no worker runs, and everything is. */
void original_note(struct ledger *ledger, bool all);

/* Puts back what has changed since, and counts it. No worker is held up: it goes on with its own words of the records. */
void original_restore(struct ledger *ledger);

/* The same when no worker runs: also routes, targets, and what only a worker that lives could answer for. */
void original_restore_all(struct ledger *ledger);
