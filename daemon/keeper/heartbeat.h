/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Heartbeats: each thread of the worker counts its turns in the ledger; a count that does not
 * change belongs to a hung thread. */
#pragma once

#include <stdbool.h>

struct ledger;

enum {
	HEARTBEAT_START_TICKS = 20, /* ... of a worker that has not begun yet */
	HEARTBEAT_HANG_TICKS = 5,   /* a thread without a heartbeat for this long hangs */
	HEARTBEAT_STILL_TICKS = 2,  /* ... and after this many the watchdog is not fed */
};

/* A worker is about to be started. */
void heartbeat_forget(void);

/* At each tick: whether a thread hangs, which is blamed. Time is counted in our own ticks, so
 * that a suspended machine is not taken for a hang. */
bool heartbeat_check(struct ledger *ledger);

/* Whether all of them beat; one or two missed heartbeats must not trip the watchdog. */
bool heartbeat_is_regular(const struct ledger *ledger);
