/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/death.h"

#include "base/clock.h"
#include "base/log.h"
#include "keeper/heartbeat.h"
#include "ledger/ledger.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static void describe(int status, bool hung, char *text, size_t size)
{
	if (hung)
		snprintf(text, size, "hung for %d s and was killed", HEARTBEAT_HANG_TICKS);
	else if (WIFSIGNALED(status))
		snprintf(text, size, "died of signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "ended with status %d", WEXITSTATUS(status));
}

bool death_was_struck(const struct ledger *ledger, int status, bool hung)
{
	/* It obeyed a SIGTERM that was not ours. */
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == EXIT_SUCCESS &&
		       ledger->keeper->worker_state == WORKER_STOPPED;
	return WIFSIGNALED(status) && !hung &&
	       (WTERMSIG(status) == SIGKILL || ledger->keeper->struck);
}

void death_note(struct ledger *ledger, pid_t worker, int status, bool hung)
{
	static const struct log_entry entry = {.event = EVENT_WORKER_DIED};
	char text[LEDGER_NAME_MAX] = "";

	describe(status, hung, text, sizeof text);
	memcpy(ledger->keeper->last_death, text, sizeof text);
	ledger->keeper->last_death_at = clock_realtime();
	log_event(death_was_struck(ledger, status, hung) ? LOG_NOTICE : LOG_ERR, &entry,
		  "worker %d %s; its heir continues with the sessions", worker, text);
}
