/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests to systemd over D-Bus, org.freedesktop.systemd1(5), by a process that may block
 * meanwhile. The environment's DBUS_SYSTEM_BUS_ADDRESS names another bus.
 */
#pragma once

struct ledger_unit;

/* The result; also the exit status of the helper. SYSTEMD_PROBLEM + enum unit_problem: it cannot
 * be done. */
enum systemd_outcome {
	SYSTEMD_RUNS,	 /* it had been running */
	SYSTEMD_STARTS,	 /* it had been starting, */
	SYSTEMD_STARTED, /* or is now, for we asked */
	SYSTEMD_DOWN,	 /* it does not run any more */
	SYSTEMD_STOPS,	 /* ... or will not in a moment */
	SYSTEMD_TAKEN,	 /* it runs, and something else has started it */
	SYSTEMD_PROBLEM = 32,
};

/* Starts the unit unless it runs; notes in the record that it is ours, before it asks. */
int systemd_start(struct ledger_unit *record, const char *name);

/* Stops the unit, or looks what has become of that when it was asked before. */
int systemd_stop(struct ledger_unit *record, const char *name);
