/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/predecessor.h"

#include "base/report.h"
#include "config/config.h"
#include "keeper/handover.h"

#include <fcntl.h>
#include <unistd.h>

static int newest_fd(const struct ledger *ledger)
{
	const struct ledger_generation *newest = NULL;

	for (int i = 0; i < LEDGER_GENERATIONS_MAX; i++)
		if (ledger->generations[i].number &&
		    (!newest || ledger->generations[i].number > newest->number))
			newest = &ledger->generations[i];
	return newest ? newest->fd : -1;
}

void predecessor_find(struct predecessor *predecessor, struct report *report)
{
	struct report ignored = {0};

	*predecessor = (struct predecessor){0};
	predecessor->is_there = handover_take(&predecessor->ledger, report) > 0;
	if (predecessor->is_there)
		config_read_generation_daemon(newest_fd(&predecessor->ledger), &predecessor->boot,
					      &ignored);
	report_done(&ignored);
}

void predecessor_done(struct predecessor *predecessor)
{
	predecessor->boot = config_free(predecessor->boot);
}

int predecessor_keep_generations(struct predecessor *predecessor)
{
	int fds[LEDGER_GENERATIONS_MAX], n = 0;

	for (int i = 0; i < LEDGER_GENERATIONS_MAX && predecessor->is_there; i++) {
		if (!predecessor->ledger.generations[i].number)
			continue;
		fds[n] = fcntl(predecessor->ledger.generations[i].fd, F_DUPFD,
			       STDERR_FILENO + 1 + LEDGER_GENERATIONS_MAX);
		n += fds[n] >= 0;
	}
	for (int i = 0; i < n; i++)
		dup2(fds[i], STDERR_FILENO + 1 + i);
	close_range((unsigned)(STDERR_FILENO + 1 + n), ~0u, 0);
	return n;
}
