/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The walls around a worker. It reads what anybody may send; whoever takes it over through that
 * finds neither programs nor files, and no process but itself. The filter of system calls, and what
 * of the file system is left, follow from the generations that the worker carries: a reload that
 * takes more gets it with the heir that it brings.
 *
 * The keeper is outside, and the descriptors are common: what a worker cannot do, it may still do
 * to what is open.
 */
#pragma once

struct generation;
struct ledger;

/* In the keeper, before it starts a worker. Opens and closes a descriptor. */
void sandbox_prepare(const struct generation *newest);

/* Puts the walls around the calling process, a worker that has no threads yet, as daemon.sandbox
 * says, for good; the ledger says which stand. One that the system refuses is told of, once, and
 * left out. */
void sandbox_enter(struct ledger *ledger, const struct generation *newest);
