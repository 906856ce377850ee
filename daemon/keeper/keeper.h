/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keeper: small, with one thread, sees no traffic. It owns the ledger and looks after the
 * worker:
 *
 *        start --> prepare --> RUNNING <------------------------------+
 *                              |  |  |                                |
 *           worker died -------+  |  +-- reload asked: PREPARING      | the heir has adopted
 *                |                |              | good             |
 *      (WAITING: back-off)        |           STOPPING -- stopped ----+--> heir
 *                +----------------|-------------------------------------> heir
 *                                 +-- SIGTERM: ENDING --> exit
 */
#pragma once

#include <stdbool.h>

struct keeper_options {
	const char *config_path;
	const char *plugin_dir; /* --plugin-dir; NULL: the config's, or the built-in one */
	const char
		*control; /* --control; NULL: $SPLICED_CONTROL, the config's, or the built-in one */
	char *const *arguments; /* of the command line, for an upgrade */
	bool single;		/* no keeper: worker and keeper are one process, without an heir */
};

/* Runs the daemon until a stop is requested. Returns an exit status (sysexits.h). */
int keeper_run(const struct keeper_options *options);
