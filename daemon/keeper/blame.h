/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blame: what a dead worker's threads had in hand. A session in hand at two deaths of the worker's own making is given up. A
 * connection that kills while it is accepted becomes a session of the heir, and so is given up too; the listener it came from
 * is paused at the third such death.
 */
#pragma once

struct ledger;

/* The worker died of its own making: looks at the hands of the threads that crashed, or hung. */
void blame_hands(struct ledger *ledger);
