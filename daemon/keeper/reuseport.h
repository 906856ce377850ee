/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SO_REUSEPORT groups across generations. Sockets of a leaving listener are in one group with those
 * that replace it; meanwhile a program makes the kernel give them nothing new. So what they have is
 * accepted, no client is refused, and none waits.
 */
#pragma once

struct ledger;
struct ledger_listener;

/* The listener's sockets have just begun to listen, in their order. */
void reuseport_join(struct ledger_listener *record);

/* No worker runs, and listeners have come or left: gives places to those that joined, and steers
 * around those that leave. A group of which all leave is hidden; those whose place is not known
 * take no new connection by themselves. */
void reuseport_settle(struct ledger *ledger);

/* Closes the sockets that their threads have let go. */
void reuseport_close(struct ledger *ledger);

/* After a ledger was taken over: places that another release did not write down are not known. */
void reuseport_take_over(struct ledger *ledger);
