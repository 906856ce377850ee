/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peers transfer: one long session, both directions at once, every byte compared where it arrives;
 * and at the end the server's word that all of ours arrived too. */
#include "peers.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>
#include <unistd.h>

int transfer_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"to", required_argument, NULL, 'a'},
		{"bytes", required_argument, NULL, 'b'},
		{"timeout-ms", required_argument, NULL, 'o'},
		{"seed", required_argument, NULL, 'd'},
		{},
	};
	struct plan plan = {.ending = ENDING_TRANSFER, .rounds = 1};
	unsigned timeout_ms = 60000;
	struct endpoint to = {};
	double seconds;
	uint64_t start;
	int c, fd, r;

	if (getrandom(&plan.seed, sizeof(plan.seed), 0) < 0)
		return EX_OSERR;
	plan.seed >>= 16;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'a' && endpoint_parse(&to, optarg) == 0)
			continue;
		if (c == 'b')
			plan.request = plan.reply = peers_number("bytes", optarg);
		else if (c == 'o')
			timeout_ms = (unsigned)peers_number("timeout-ms", optarg);
		else if (c == 'd')
			plan.seed = peers_number("seed", optarg);
		else
			return EX_USAGE;
	}
	if (!to.len || to.greets || optind != argc) {
		fputs("peers: transfer wants one good --to ADDRESS, without greet+\n", stderr);
		return EX_USAGE;
	}
	peers_watch_signals();
	start = clock_us();
	fd = r = endpoint_connect(&to, timeout_ms, 0);
	if (fd >= 0) {
		r = session_ask(fd, &plan);
		close(fd);
	}
	seconds = (double)(clock_us() - start) / 1e6;
	printf("{\"result\": \"%s\", \"bytes\": %llu, \"seconds\": %.3f, \"mbit_each_way\": %.0f, "
	       "\"seed\": %llu}\n",
	       outcome_name(outcome_of(r)), (unsigned long long)plan.request, seconds,
	       (double)plan.request * 8e-6 / seconds, (unsigned long long)plan.seed);
	if (r < 0)
		fprintf(stderr, "peers: transfer: %s\n", strerror(-r));
	return r == 0 ? 0 : 1;
}
