/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listening sockets across generations. Prepared while the old worker runs, committed between two workers; until then a new
 * socket is PENDING in the ledger and nobody accepts from it.
 */
#pragma once

struct generation;
struct ledger;
struct report;

/* Finds, for each listening leg of the generation, the open socket that fits, and opens those that are missing. On any
 * failure what was opened is closed again, report says why, and a negative errno is returned. */
int listen_prepare(struct ledger *ledger, struct generation *generation, struct report *report);

/* Takes back what listen_prepare() opened. */
void listen_cancel(struct ledger *ledger);

/* No worker runs: new sockets open, kept ones get the new generation's meaning, the others are left. `newest` is the
 * prepared generation, the ones before it behind it. */
void listen_commit(struct ledger *ledger, struct generation *newest);

/* The daemon ends: removes what binding left in the file system. The descriptors close with the process. */
void listen_end(struct ledger *ledger, struct generation *newest);
