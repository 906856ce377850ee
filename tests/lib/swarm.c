/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peers swarm: many short verified sessions at once. Every session's plan comes from its seed, so
 * that a failure that is printed can be played again with --seed and --sessions 1. */
#include "peers.h"

#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	TARGETS_MAX = 32,
	PARALLEL_MAX = 1024,
	FAILURES_SHOWN = 8,
	SLOW_RECEIVE_BUFFER = 16 * 1024,
	STACK_SIZE = 256 * 1024,
};

static struct {
	struct endpoint to[TARGETS_MAX];
	const char *to_text[TARGETS_MAX];
	size_t count;
	uint64_t seed;
	unsigned long sessions;
	uint64_t deadline; /* clock_us(), or 0 */
	unsigned parallel;
	unsigned timeout_ms;
	bool expect_loss;
	struct plan fixed; /* used instead of a drawn one when its rounds are set */
} swarm = {.parallel = 16, .timeout_ms = 20000};

static atomic_ulong begun, outcomes[OUTCOME_COUNT], shown;
static atomic_ullong bytes, slowest;

static bool swarm_next(unsigned long *ret)
{
	if (peers_stop || (swarm.deadline && clock_us() >= swarm.deadline))
		return false;
	*ret = begun++;
	return !swarm.sessions || *ret < swarm.sessions;
}

static void plan_make(struct plan *ret, uint64_t seed, bool greeted)
{
	if (!swarm.fixed.rounds) {
		session_draw(ret, seed, greeted);
		return;
	}
	*ret = swarm.fixed;
	ret->seed = seed;
	ret->greeted = greeted;
}

static void show_failure(size_t target, const struct plan *plan, int r, uint64_t spent)
{
	static const char *const endings[ENDING_COUNT] = {"client", "server", "half", "transfer"};

	if (shown++ >= FAILURES_SHOWN)
		return;
	fprintf(stderr,
		"peers: %s: %s (%s) after %llu ms; seed %llu, request %llu, reply %llu, ending %s, "
		"rounds %u%s%s\n",
		swarm.to_text[target], outcome_name(outcome_of(r)), strerror(-r),
		(unsigned long long)spent / 1000, (unsigned long long)plan->seed,
		(unsigned long long)plan->request, (unsigned long long)plan->reply,
		endings[plan->ending], plan->rounds, plan->receiving.chunk ? ", slow reader" : "",
		plan->sending.chunk ? ", slow sender" : "");
}

static int session_run(const struct endpoint *to, const struct plan *plan)
{
	int fd, r;

	fd = endpoint_connect(to, swarm.timeout_ms,
			      plan->receiving.chunk ? SLOW_RECEIVE_BUFFER : 0);
	if (fd < 0)
		return fd;
	r = session_ask(fd, plan);
	close(fd);
	return r;
}

static void *swarm_run(void *data)
{
	uint64_t start, spent;
	unsigned long long before;
	unsigned long number;
	struct plan plan;
	size_t target;
	int r;

	(void)data;
	while (swarm_next(&number)) {
		target = number % swarm.count;
		plan_make(&plan, swarm.seed + number, swarm.to[target].greets);
		start = clock_us();
		r = session_run(&swarm.to[target], &plan);
		spent = clock_us() - start;
		outcomes[outcome_of(r)]++;
		before = slowest;
		while (spent > before && !atomic_compare_exchange_weak(&slowest, &before, spent))
			;
		if (r == 0)
			bytes += (plan.request + plan.reply) * plan.rounds;
		else if (!swarm.expect_loss)
			show_failure(target, &plan, r, spent);
		if (outcome_of(r) == OUTCOME_REFUSED || outcome_of(r) == OUTCOME_LOCAL)
			usleep(1000);
	}
	return NULL;
}

static bool swarm_add(const char *text)
{
	if (swarm.count == TARGETS_MAX || endpoint_parse(&swarm.to[swarm.count], text) < 0)
		return false;
	swarm.to_text[swarm.count++] = text;
	return true;
}

static bool ending_parse(enum ending *ret, const char *text)
{
	static const char *const names[] = {"client", "server", "half"};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum ending)i;
			return true;
		}
	return false;
}

static bool swarm_parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"to", required_argument, NULL, 'a'},
		{"sessions", required_argument, NULL, 'n'},
		{"seconds", required_argument, NULL, 's'},
		{"parallel", required_argument, NULL, 'p'},
		{"timeout-ms", required_argument, NULL, 'o'},
		{"seed", required_argument, NULL, 'd'},
		{"expect-loss", no_argument, NULL, 'l'},
		{"request", required_argument, NULL, 'q'},
		{"reply", required_argument, NULL, 'r'},
		{"ending", required_argument, NULL, 'e'},
		{},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'a':
			if (!swarm_add(optarg))
				return false;
			break;
		case 'n':
			swarm.sessions = peers_number("sessions", optarg);
			break;
		case 's':
			swarm.deadline = clock_us() + peers_number("seconds", optarg) * 1000000;
			break;
		case 'p':
			swarm.parallel = (unsigned)peers_number("parallel", optarg);
			break;
		case 'o':
			swarm.timeout_ms = (unsigned)peers_number("timeout-ms", optarg);
			break;
		case 'd':
			swarm.seed = peers_number("seed", optarg);
			break;
		case 'l':
			swarm.expect_loss = true;
			break;
		case 'q':
			swarm.fixed.request = peers_number("request", optarg);
			swarm.fixed.rounds = 1;
			break;
		case 'r':
			swarm.fixed.reply = peers_number("reply", optarg);
			swarm.fixed.rounds = 1;
			break;
		case 'e':
			if (!ending_parse(&swarm.fixed.ending, optarg))
				return false;
			swarm.fixed.rounds = 1;
			break;
		default:
			return false;
		}
	}
	while (optind < argc)
		if (!swarm_add(argv[optind++]))
			return false;
	return swarm.count > 0 && swarm.parallel > 0 && swarm.parallel <= PARALLEL_MAX;
}

/* 0 when what happened is what was asked for: nothing lost, or with --expect-loss something. A
 * corrupt session is never asked for, and a run without a session shows nothing. */
static int swarm_report(double seconds)
{
	unsigned long all = 0;
	int i;

	for (i = 0; i < OUTCOME_COUNT; i++)
		all += outcomes[i];
	printf("{\"sessions\": %lu", all);
	for (i = 0; i < OUTCOME_COUNT; i++)
		printf(", \"%s\": %lu", outcome_name((enum outcome)i), outcomes[i]);
	printf(", \"bytes\": %llu, \"seconds\": %.3f, \"slowest_ms\": %llu, \"seed\": %llu}\n",
	       bytes, seconds, slowest / 1000, (unsigned long long)swarm.seed);
	if (all == 0 || outcomes[OUTCOME_CORRUPT] > 0)
		return 1;
	return (outcomes[OUTCOME_OK] == all) != swarm.expect_loss ? 0 : 1;
}

int swarm_main(int argc, char **argv)
{
	pthread_t threads[PARALLEL_MAX];
	pthread_attr_t attributes;
	uint64_t start;
	unsigned i;

	if (getrandom(&swarm.seed, sizeof(swarm.seed), 0) < 0)
		return EX_OSERR;
	swarm.seed >>= 16; /* printed seeds stay exact in every JSON reader */
	if (!swarm_parse(argc, argv)) {
		fputs("peers: swarm wants at least one good --to ADDRESS, and a --parallel up to "
		      "1024\n",
		      stderr);
		return EX_USAGE;
	}
	peers_watch_signals();
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	start = clock_us();
	for (i = 0; i < swarm.parallel; i++)
		if (pthread_create(&threads[i], &attributes, swarm_run, NULL) != 0)
			return EX_OSERR;
	for (i = 0; i < swarm.parallel; i++)
		pthread_join(threads[i], NULL);
	return swarm_report((double)(clock_us() - start) / 1e6);
}
