/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Adoption: what a worker does before it has threads, logs, or uses any library. It makes the table
 * of descriptors and the ledger agree again: finishes sessions that were ending, frees those that
 * were beginning, audits, and closes descriptors without an owner.
 */
#pragma once

struct worker;

/* Once, in the worker's only thread. Sessions and listeners are then adopted by their threads. */
void adopt_ledger(struct worker *worker);
