/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lifeboat: one end of a socket pair lies in the service manager's descriptor store,
 * sd_pid_notify_with_fds(3). At a planned stop the ledger and every descriptor that it names are
 * sent into the other end, and the next start takes them out (handover.h).
 */
#pragma once

#include <stdbool.h>

struct ledger;
struct report;

#define LIFEBOAT_NAME "spliced-lifeboat"

/* Puts its end into the store. No heir sweeps. */
void lifeboat_launch(struct ledger *ledger);
bool lifeboat_is_launched(void);

/* Sends all into it. 0, or negative errno; -EPIPE: the manager keeps none. */
int lifeboat_send(struct ledger *ledger);

/* Takes out what is in the end that the manager has passed: 1, and *old is the ledger, with the
 * numbers that its descriptors have here, or -1 for those that did not come or are not what the
 * record named; damage is reported. 0: nothing. Negative errno: it cannot be used; the part that
 * *old has is still open. */
int lifeboat_take(int fd, struct ledger *old, struct report *report);
