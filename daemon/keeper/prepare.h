/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preparing a generation: a forked child, with a descriptor table of its own, reads and checks the file, and writes what
 * it understood into a memfd. A file that hangs a plugin, or kills it, ends the child and nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct families;
struct ledger;
struct report;

struct prepare {
	pid_t pid;         /* 0: none under way */
	int text_fd;       /* the generation */
	int report_fd;     /* what is wrong, for the operator */
	uint64_t deadline; /* CLOCK_MONOTONIC, ns */
	bool timed_out;
};

/* Starts the child. 0 or negative errno. */
int prepare_start(struct prepare *prepare, const char *path, struct families *families, struct ledger *ledger);

/* The deadline has passed: ends the child; prepare_finish() then says so. */
void prepare_expire(struct prepare *prepare);

/* The child has ended with this wait status. Returns the generation's sealed memfd, which the caller owns; or negative
 * errno, with report saying why. */
int prepare_finish(struct prepare *prepare, int status, struct ledger *ledger, struct report *report);

/* Adds the lines of a memfd that a child wrote to. */
void prepare_read_report(int fd, struct report *report);

/* Both at once, waiting: for the start. */
int prepare_wait(const char *path, struct families *families, struct ledger *ledger, struct report *report);
