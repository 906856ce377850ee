/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peers: verifying servers, swarms of verified sessions, a long transfer, and a killer of workers.
 * Each command prints one line of JSON when it ends. Blocking threads throughout: a session reads
 * top to bottom, and on one slow CPU the scheduler does what an event loop would. */
#include "peers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

volatile bool peers_stop;

enum outcome outcome_of(int r)
{
	switch (-r) {
	case 0:
		return OUTCOME_OK;
	case ENODATA:
		return OUTCOME_LOST;
	case ECONNRESET:
	case EPIPE:
		return OUTCOME_RESET;
	case ECONNREFUSED:
	case ENOENT:
		return OUTCOME_REFUSED;
	case EBADMSG:
		return OUTCOME_CORRUPT;
	case ETIMEDOUT:
		return OUTCOME_TIMEOUT;
	}
	return OUTCOME_LOCAL;
}

const char *outcome_name(enum outcome outcome)
{
	static const char *const names[OUTCOME_COUNT] = {
		[OUTCOME_OK] = "ok",	       [OUTCOME_LOST] = "lost",
		[OUTCOME_RESET] = "reset",     [OUTCOME_REFUSED] = "refused",
		[OUTCOME_CORRUPT] = "corrupt", [OUTCOME_TIMEOUT] = "timeout",
		[OUTCOME_LOCAL] = "local",
	};

	return names[outcome];
}

uint64_t clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void note_signal(int signal)
{
	(void)signal;
	peers_stop = true;
}

void peers_watch_signals(void)
{
	struct sigaction action = {.sa_handler = note_signal};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

uint64_t peers_number(const char *option, const char *text)
{
	char *end;
	uint64_t number;

	errno = 0;
	number = strtoull(text, &end, 10);
	switch (*end) {
	case 'G':
		number *= 1024; /* fallthrough */
	case 'M':
		number *= 1024; /* fallthrough */
	case 'K':
		number *= 1024;
		end++;
	}
	if (errno || end == text || *end) {
		fprintf(stderr, "peers: --%s wants a number (K, M and G may follow), not \"%s\"\n",
			option, text);
		exit(EX_USAGE);
	}
	return number;
}

static int usage(void)
{
	fputs("usage: peers serve [--threads N] [--timeout-ms N] ADDRESS...\n"
	      "       peers swarm --to ADDRESS... [--sessions N | --seconds N] [--parallel N] "
	      "[--seed N]\n"
	      "             [--timeout-ms N] [--expect-loss] [--request N --reply N --ending "
	      "client|server|half]\n"
	      "       peers transfer --to ADDRESS --bytes N [--timeout-ms N] [--seed N]\n"
	      "       peers kill --keeper PID [--min-us N] [--max-us N] [--count N] [--seconds N] "
	      "[--signal N] [--any]\n"
	      "addresses: tcp://HOST:PORT  tcp://[HOST]:PORT  unix:///PATH  unix://@NAME;\n"
	      "           greet+ before one: there the server speaks first\n",
	      stderr);
	return EX_USAGE;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {
		{"serve", serve_main},
		{"swarm", swarm_main},
		{"transfer", transfer_main},
		{"kill", kill_main},
	};
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	return usage();
}
