/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The active parts of the sandbox. Files first: this needs calls that the filter does not allow.
 */
#include "keeper/sandbox.h"

#include "base/log.h"
#include "config/config.h"
#include "keeper/calls.h"
#include "keeper/files.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static bool is_off(const struct config *config)
{
	return !strcmp(config->daemon[DAEMON_SANDBOX].value.text, "off");
}

/* The ledger outlives the worker: what the previous one has logged is not logged again. */
static void note(_Atomic int32_t *wall, const char *name, int outcome)
{
	if (outcome < 0 && *wall != outcome)
		log_warning("the worker runs without %s: %s", name, strerror(-outcome));
	*wall = outcome;
}

void sandbox_prepare(const struct generation *newest)
{
	if (!is_off(newest->config))
		calls_prepare(newest);
}

void sandbox_enter(struct ledger *ledger, const struct generation *newest)
{
	struct ledger_keeper *keeper = ledger->keeper;

	if (getpid() == ledger->keeper_pid) {
		keeper->wall_files = keeper->wall_calls = WALL_SINGLE;
	} else if (is_off(newest->config)) {
		keeper->wall_files = keeper->wall_calls = WALL_OFF;
	} else {
		note(&keeper->wall_files, "Landlock", files_shut(newest));
		note(&keeper->wall_calls, "a system call filter", calls_restrict(newest));
	}
}
