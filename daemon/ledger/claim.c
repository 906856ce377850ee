/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Claims. The validation (mend.h) owns a byte for each number; without memory for these,
 * duplicates are not detected. */
#include "ledger/claim.h"

#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/mend.h"

#include <sys/stat.h>
#include <unistd.h>

/* Marks of a descriptor number. */
enum {
	NAMED = 1,
	NAMED_TWICE = 2,
	KEPT = 4 /* the keeper's own, or a listener's */,
	FED = 8 /* a feed's, and it has its session */
};

void claim_keep(const struct validating *v, int fd)
{
	if (fd >= 0 && fd < v->n_numbers && v->numbers)
		v->numbers[fd] = KEPT;
}

void claim_keep_own(const struct validating *v)
{
	const struct ledger *ledger = v->ledger;

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		claim_keep(v, fd);
	for (int i = 0; i < LEDGER_KEEPER_FDS; i++)
		claim_keep(v, ledger->keeper->fds[i]);
	for (int i = 0; i < PASSED_MAX; i++)
		if (*ledger->keeper->passed[i].name)
			claim_keep(v, ledger->keeper->passed[i].fd);
	for (const struct generation *g = v->generations; g; g = g->next)
		claim_keep(v, g->fd);
	claim_keep(v, ledger->fd);
	claim_keep(v, ledger->table_fd);
	claim_keep(v, ledger->keeper_wake);
	claim_keep(v, ledger->clerk_wake);
	claim_keep(v, ledger->control_fd);
}

bool claim_fd(struct validating *v, int fd, mode_t kind)
{
	struct stat status;

	if (fd == -1)
		return true;
	if (fd <= STDERR_FILENO || fd >= v->n_numbers || fstat(fd, &status) < 0 ||
	    (status.st_mode & S_IFMT) != kind)
		return false;
	if (!v->numbers)
		return true;
	if (v->numbers[fd] & KEPT)
		return false;
	v->twice |= v->numbers[fd] & NAMED;
	v->numbers[fd] |= v->numbers[fd] & NAMED ? NAMED_TWICE : NAMED;
	return true;
}

bool claim_is_twice(const struct validating *v, int fd)
{
	return fd >= 0 && fd < v->n_numbers && v->numbers[fd] & NAMED_TWICE;
}

bool claim_feed(struct validating *v, int fd)
{
	if (!v->numbers || fd < 0 || fd >= v->n_numbers)
		return true;
	if (v->numbers[fd] & FED)
		return false;
	v->numbers[fd] |= FED;
	return true;
}
