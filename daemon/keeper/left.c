/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/left.h"

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

void left_find(struct left *left, struct report *report)
{
	struct report ignored = {0};

	*left = (struct left){0};
	left->is_there = handover_take(&left->ledger, report) > 0;
	if (left->is_there)
		config_read_generation_daemon(newest_fd(&left->ledger), &left->boot, &ignored);
	report_done(&ignored);
}

void left_done(struct left *left)
{
	left->boot = config_free(left->boot);
}

int left_keep_generations(struct left *left)
{
	int fds[LEDGER_GENERATIONS_MAX], n = 0;

	for (int i = 0; i < LEDGER_GENERATIONS_MAX && left->is_there; i++) {
		if (!left->ledger.generations[i].number)
			continue;
		fds[n] = fcntl(left->ledger.generations[i].fd, F_DUPFD,
			       STDERR_FILENO + 1 + LEDGER_GENERATIONS_MAX);
		n += fds[n] >= 0;
	}
	for (int i = 0; i < n; i++)
		dup2(fds[i], STDERR_FILENO + 1 + i);
	close_range((unsigned)(STDERR_FILENO + 1 + n), ~0u, 0);
	return n;
}
