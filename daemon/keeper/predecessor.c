/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/predecessor.h"

#include "base/report.h"
#include "config/config.h"
#include "config/needs.h"
#include "keeper/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
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

/* In a child that runs families' code: the configurations alone stay open, as the n first
 * descriptors from STDERR_FILENO + 1 on; the ledger is out of reach. Returns n. */
static int keep_generations(struct predecessor *predecessor)
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

/* A wrong file does not reduce the needs of what continues without it. */
static uint64_t find_needs(struct predecessor *predecessor, const char *path,
			   struct families *families)
{
	struct config_source source = {.path = path, .families = families, .names_may_wait = true};
	struct report ignored = {0};
	struct config *config;
	uint64_t needs = 0;
	int n = keep_generations(predecessor);

	for (int fd = STDERR_FILENO + 1; fd < STDERR_FILENO + 1 + n; fd++)
		if (!config_read_generation(fd, families, &config, &ignored))
			needs |= needs_of_config(config);
	if (!config_load(&source, &config, &ignored))
		needs |= needs_of_config(config);
	return needs;
}

/* The plugins that this loads stay in the child: the keeper loads its own, after it has dropped
 * its privileges. */
int predecessor_find_needs(struct predecessor *predecessor, const char *path,
			   struct families *families, uint64_t *capabilities, struct report *report)
{
	uint64_t *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0, r = 0;
	pid_t pid;

	if (shared == MAP_FAILED)
		return -ENOMEM;
	*shared = 0;
	pid = fork();
	if (pid == 0) {
		*shared = find_needs(predecessor, path, families);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0) {
		r = -errno;
		report_add(report, "fork: %s", strerror(errno));
	}
	*capabilities = *shared;
	munmap(shared, sizeof *shared);
	return r;
}
