/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peers serve: threads that wait in accept(), play the server's part and count how it ended.
 * "ready" on standard output tells that every address listens. */
#include "peers.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { STACK_SIZE = 256 * 1024 };

struct listener {
	struct endpoint endpoint;
	int fd;
};

static unsigned timeout_ms = 30000;
static atomic_ulong outcomes[OUTCOME_COUNT], accepted, silent;

static void *serve(void *data)
{
	struct listener *listener = data;
	int fd, r;

	for (;;) {
		fd = accept(listener->fd, NULL, NULL);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				usleep(1000);
			continue;
		}
		accepted++;
		endpoint_set_timeout(fd, timeout_ms);
		r = session_answer(fd, listener->endpoint.greets);
		if (r == STREAM_END)
			silent++;
		else
			outcomes[outcome_of(r)]++;
		close(fd);
	}
	return NULL;
}

static int start_threads(struct listener *listener, unsigned count)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r = 0;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	while (count-- > 0 && r == 0)
		r = -pthread_create(&thread, &attributes, serve, listener);
	pthread_attr_destroy(&attributes);
	return r;
}

static void report(void)
{
	int i;

	printf("{\"accepted\": %lu, \"silent\": %lu", accepted, silent);
	for (i = 0; i < OUTCOME_COUNT; i++)
		printf(", \"%s\": %lu", outcome_name((enum outcome)i), outcomes[i]);
	puts("}");
}

int serve_main(int argc, char **argv)
{
	static const struct option options[] = {{"threads", required_argument, NULL, 't'},
						{"timeout-ms", required_argument, NULL, 'o'},
						{}};
	unsigned threads = 64;
	struct listener *listeners;
	sigset_t signals;
	int c, i, r, signal;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 't')
			threads = (unsigned)peers_number("threads", optarg);
		else if (c == 'o')
			timeout_ms = (unsigned)peers_number("timeout-ms", optarg);
		else
			return EX_USAGE;
	}
	peers_watch_signals();
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	listeners = calloc((size_t)(argc - optind) + 1, sizeof(*listeners));
	if (!listeners || optind == argc)
		return EX_USAGE;
	for (i = 0; i < argc - optind; i++) {
		r = endpoint_parse(&listeners[i].endpoint, argv[optind + i]);
		if (r == 0)
			r = listeners[i].fd = endpoint_listen(&listeners[i].endpoint);
		if (r >= 0)
			r = start_threads(&listeners[i], threads);
		if (r < 0) {
			fprintf(stderr, "peers: %s: %s\n", argv[optind + i], strerror(-r));
			return EX_UNAVAILABLE;
		}
	}
	puts("ready");
	fflush(stdout);
	sigwait(&signals, &signal);
	report();
	return 0;
}
