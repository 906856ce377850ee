/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errands: jobs of the keeper's that run code of families, done by a child with a descriptor table
 * of its own. The keeper continues meanwhile; a family that crashes or hangs loses only its own
 * job. One errand runs at a time.
 *
 * The child is a foreman, which runs no such code itself: it forks a child that does, and another
 * for the remaining jobs if that one dies, or is killed because a job exceeds its time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct job;
struct jobs;
struct ledger;

/* Receives the results. */
struct errand_taker {
	/* The k-th socket of an OPEN job, owned now. May be NULL: there are no such jobs. */
	void (*socket)(struct ledger *ledger, const struct job *job, uint32_t k, int fd);
	/* A job is done: 0, or negative errno, with lines of text ("" where there is nothing to
	 * say). -EOWNERDEAD: the family crashed or hung over it; -ECANCELED: it was not run. NULL:
	 * what is wrong is logged. */
	void (*done)(struct ledger *ledger, const struct job *job, int r, const char *text);
};

/* Starts one; no heir sweeps meanwhile. seconds: for each job. The errand owns the jobs from now
 * on, and *jobs is empty. Without jobs none is started. 0 or negative errno: then no job is
 * done, and no result reported. */
int errand_start(struct ledger *ledger, struct jobs *jobs, unsigned seconds,
		 const struct errand_taker *taker);

bool errand_is_under_way(void);

/* The descriptor to poll for POLLIN, -1: none. It is read while no heir sweeps: sockets come by
 * it. */
int errand_fd(void);
void errand_receive(struct ledger *ledger);

/* A child has ended: true, it was the errand's. */
bool errand_ended(struct ledger *ledger, pid_t pid);

/* Runs it to its end. Waits no longer than the jobs may take. */
void errand_wait(struct ledger *ledger);

/* Ends it at once: jobs that were not done are reported as canceled. */
void errand_stop(struct ledger *ledger);
