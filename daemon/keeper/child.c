/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/child.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static int compare(const void *one, const void *other)
{
	int a = *(const int *)one, b = *(const int *)other;

	return (a > b) - (a < b);
}

static void close_others(int *keep, size_t n)
{
	unsigned next = STDERR_FILENO + 1;

	if (n)
		qsort(keep, n, sizeof *keep, compare);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < (int)next)
			continue;
		if (keep[i] > (int)next)
			close_range(next, (unsigned)keep[i] - 1, 0);
		next = (unsigned)keep[i] + 1;
	}
	close_range(next, ~0u, 0);
}

void child_begin(int *keep, size_t n)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close_others(keep, n);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
}
