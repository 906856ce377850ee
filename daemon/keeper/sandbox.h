/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sandbox of a worker. It reads untrusted input; an attacker who takes it over finds neither
 * programs nor files, and no process but itself. The filter of system calls, and the visible part
 * of the file system, follow from the generations that the worker serves: a reload that needs more
 * gets it with its heir.
 *
 * The keeper is outside, and the descriptor table is shared: the restrictions do not protect what
 * is already open.
 */
#pragma once

struct generation;
struct ledger;

/* In the keeper, before it starts a worker. Opens and closes a descriptor. */
void sandbox_prepare(const struct generation *newest);

/* Sandboxes the calling process, a worker that has no threads yet, as daemon.sandbox requires,
 * permanently; the active parts are in the ledger. One that the system refuses is logged once,
 * and left out. */
void sandbox_enter(struct ledger *ledger, const struct generation *newest);
