/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A worker's life: its tables are made, its threads adopt what there is, take turns, and stop. */
#pragma once

#include <stdint.h>

struct families;
struct generation;
struct ledger;
struct ledger_keeper;
struct worker;

/* From now on, if a signal ends this process, the ledger has whether another process has sent
 * it, and which thread it struck. */
void worker_catch_crashes(struct ledger_keeper *keeper);

/* A seed that cannot be guessed. */
uint64_t worker_draw_seed(void);

/* Makes the worker's tables. 0 or negative errno. */
int worker_init(struct worker *worker, struct ledger *ledger, struct generation *generations,
		const struct families *families);

/* Starts every thread; they adopt their part of the ledger and run until worker_stop(). 0 or
 * negative errno. */
int worker_start(struct worker *worker);

/* Asks every thread to finish its turn, and waits for them. */
void worker_stop(struct worker *worker);
