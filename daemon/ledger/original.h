/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Originals: what the keeper itself has written into the ledger, once more in memory of its own. A
 * worker with corrupted memory may have written anywhere in the ledger; the keeper acts on its own
 * numbers of descriptors, its own counts and its own listeners, and puts them back where they have
 * changed. What a worker writes is not among them: validate.h looks at that.
 *
 * The keeper restores before it acts. What it writes it notes at once, and only that: the rest may
 * be wrong already.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct ledger;
struct ledger_generation;
struct ledger_listener;

/* Begins to keep originals, of the ledger's present contents. 0 or -ENOMEM: then everything is
 * trusted. */
int original_new(struct ledger *ledger);
void original_free(struct ledger *ledger);

/* In a forked child: the originals have stayed with the keeper. */
void original_leave(struct ledger *ledger);

/* No worker runs, and all is as it should be. */
void original_note(struct ledger *ledger);

/* The keeper has written: words of its section; the result of a reload; a listener; a route, a
 * target, that has come or gone. */
void original_note_words(struct ledger *ledger, const volatile void *words, size_t size);
void original_note_reload(struct ledger *ledger);
void original_note_listener(struct ledger *ledger, const struct ledger_listener *record);
void original_note_route(struct ledger *ledger, uint32_t slot);
void original_note_target(struct ledger *ledger, uint32_t slot);

/* The keeper's descriptors, and the generations, as it knows them itself; code that changes what
 * is shared decides by these, and changes them too. Without originals they are what is shared. */
int32_t *original_fds(struct ledger *ledger);
struct ledger_generation *original_generations(struct ledger *ledger);

/* Restores the result of a reload, or a listener's record, before the keeper changes it:
 * otherwise a wrong word there would be noted with the change. */
void original_restore_reload(struct ledger *ledger);
void original_restore_listener(struct ledger *ledger, struct ledger_listener *record);

/* Puts back what has changed since, and counts it. No worker is held up: its own words of the
 * records are not touched. */
void original_restore(struct ledger *ledger);

/* The same when no worker runs: also routes, targets, and words that only a running worker may
 * change. */
void original_restore_all(struct ledger *ledger);
