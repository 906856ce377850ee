/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preparing a generation: a forked child, with a descriptor table of its own, reads and checks the
 * file, and writes what it understood into a memfd. A file that hangs a plugin, or kills it, ends
 * the child and nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct families;
struct ledger;
struct report;

struct prepare {
	pid_t pid;	   /* 0: none under way */
	int text_fd;	   /* the generation */
	int report_fd;	   /* what is wrong, for the operator */
	uint64_t deadline; /* CLOCK_MONOTONIC, ns */
	bool timed_out;
};

/* Starts the child. 0 or negative errno. may_wait: what is not known, or cannot be read, yet is
 * waited for, and listed in the report. */
int prepare_start(struct prepare *prepare, const char *path, bool may_wait,
		  struct families *families, struct ledger *ledger);

/* The same of a generation that is in use, whose rules name users or groups that were not known:
 * whether they are now. Fails while they are not. */
int prepare_start_names(struct prepare *prepare, int fd, struct families *families,
			struct ledger *ledger);

/* The same for a child that checks something else: `run` does not return, and ends with status 0 if
 * all is well; what is wrong it writes to prepare->report_fd. There is no generation. */
typedef void (*prepare_run)(const struct prepare *prepare, void *data);
int prepare_start_check(struct prepare *prepare, struct ledger *ledger, prepare_run run,
			void *data);

/* The same, waiting: 0, or negative errno with the reason in report; -ETIMEDOUT: it took too
 * long. */
int prepare_wait_check(struct ledger *ledger, prepare_run run, void *data, struct report *report);

/* The deadline has passed: ends the child; prepare_finish() then reports it. */
void prepare_expire(struct prepare *prepare);

/* The child has ended with this wait status. Returns the generation's sealed memfd, which the
 * caller owns (0 of a check); or negative errno, with the reason in report. */
int prepare_finish(struct prepare *prepare, int status, struct ledger *ledger,
		   struct report *report);

/* Both at once, waiting: for the start. A child that takes too long is ended. */
int prepare_wait(const char *path, struct families *families, struct ledger *ledger,
		 struct report *report);

/* The same of a generation that is in use, as another release may have written it: a copy with
 * answers of the families that are here. `fd` stays the caller's. */
int prepare_answers(int fd, struct families *families, struct ledger *ledger,
		    struct report *report);
