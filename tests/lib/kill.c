/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peers kill: finds the keeper's worker and kills it, again and again. The worker is the child that
 * shares the keeper's descriptor table (kcmp(2) tells), for the keeper has other children too,
 * which check a configuration. Where the kernel has no kcmp, or refuses it, the youngest child is
 * taken. A dead worker stays in the list until it is waited for: a kill counts when its process is
 * another than the last. */
#include "peers.h"

#include <errno.h>
#include <getopt.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

enum { PATIENCE_US = 10 * 1000 * 1000 };

static bool any_child;

static bool is_worker(pid_t keeper, pid_t child)
{
	long r = any_child ? 0 : syscall(SYS_kcmp, keeper, child, KCMP_FILES, 0, 0);

	return r == 0 || (r < 0 && (errno == ENOSYS || errno == EPERM));
}

/* The worker's process, 0 when there is none right now, or -ESRCH when the keeper is gone. */
static pid_t worker_find(pid_t keeper)
{
	char path[64], text[1024];
	pid_t child, worker = 0;
	char *at, *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", keeper, keeper);
	file = fopen(path, "re");
	if (!file)
		return -ESRCH;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	for (at = text; (child = (pid_t)strtol(at, &end, 10)) > 0 && end != at; at = end)
		if (is_worker(keeper, child))
			worker = child;
	return worker;
}

/* Waits for a worker other than `last`; -ETIMEDOUT when none came. */
static pid_t worker_await(pid_t keeper, pid_t last)
{
	uint64_t limit = clock_us() + PATIENCE_US;
	pid_t worker;

	while (!peers_stop) {
		worker = worker_find(keeper);
		if (worker < 0 || (worker > 0 && worker != last))
			return worker;
		if (clock_us() > limit)
			return -ETIMEDOUT;
		sched_yield();
	}
	return 0;
}

int kill_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"keeper", required_argument, NULL, 'k'},  {"min-us", required_argument, NULL, 'm'},
		{"max-us", required_argument, NULL, 'x'},  {"count", required_argument, NULL, 'n'},
		{"seconds", required_argument, NULL, 's'}, {"signal", required_argument, NULL, 'g'},
		{"any", no_argument, NULL, 'a'},	   {},
	};
	uint64_t min = 1000, max = 15000, count = 0, kills = 0, start = clock_us(), deadline = 0,
		 dice = start;
	pid_t keeper = 0, worker = 0;
	int c, signal = SIGKILL;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			keeper = (pid_t)peers_number("keeper", optarg);
			break;
		case 'm':
			min = peers_number("min-us", optarg);
			break;
		case 'x':
			max = peers_number("max-us", optarg);
			break;
		case 'n':
			count = peers_number("count", optarg);
			break;
		case 's':
			deadline = start + peers_number("seconds", optarg) * 1000000;
			break;
		case 'g':
			signal = (int)peers_number("signal", optarg);
			break;
		case 'a':
			any_child = true;
			break;
		default:
			return EX_USAGE;
		}
	}
	if (keeper <= 0 || max < min) {
		fputs("peers: kill wants --keeper PID, and --min-us not above --max-us\n", stderr);
		return EX_USAGE;
	}
	peers_watch_signals();
	while (!peers_stop && (!count || kills < count) && (!deadline || clock_us() < deadline)) {
		dice = stream_mix(dice);
		usleep((useconds_t)(min + dice % (max - min + 1)));
		worker = worker_await(keeper, worker);
		if (worker < 0)
			break;
		if (worker > 0 && kill(worker, signal) == 0)
			kills++;
	}
	printf("{\"kills\": %llu, \"seconds\": %.3f}\n", (unsigned long long)kills,
	       (double)(clock_us() - start) / 1e6);
	if (worker < 0)
		fprintf(stderr, "peers: kill: %s\n",
			worker == -ESRCH ? "the keeper is gone"
					 : "the keeper started no other worker");
	return worker < 0 || kills == 0;
}
