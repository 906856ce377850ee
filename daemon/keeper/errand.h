/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errands: jobs of the keeper's that run code of families, done by a child with a descriptor table
 * of its own. The keeper goes on meanwhile; a family that crashes or hangs loses its own job and no
 * other. One errand is under way at a time.
 *
 * The child is a foreman, who runs no such code himself: he forks who does it, and again for what
 * is left when that one dies, or is killed because one job takes longer than it may.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct job;
struct jobs;
struct ledger;

/* Who gets what comes of it. */
struct errand_taker {
	/* The k-th socket of an OPEN job, owned now. May be NULL: there are no such jobs. */
	void (*socket)(struct ledger *ledger, const struct job *job, uint32_t k, int fd);
	/* A job is done: 0, or negative errno, with lines of text ("" where there is nothing to
	 * say). -EOWNERDEAD: the family crashed or hung over it; -ECANCELED: it was not run. NULL:
	 * what is wrong is logged. */
	void (*done)(struct ledger *ledger, const struct job *job, int r, const char *text);
};

/* Begins one; no heir sweeps meanwhile. seconds: for each job. The jobs are the errand's from now
 * on, and *jobs is empty. Without any there is nothing to do, and it is not under way. 0 or
 * negative errno: then none is done, and nothing told. */
int errand_start(struct ledger *ledger, struct jobs *jobs, unsigned seconds,
		 const struct errand_taker *taker);

bool errand_is_under_way(void);

/* The descriptor to poll for POLLIN, -1: none. It is read while no heir sweeps: sockets come by
 * it. */
int errand_fd(void);
void errand_receive(struct ledger *ledger);

/* A child has ended: true, it was the errand's. */
bool errand_ended(struct ledger *ledger, pid_t pid);

/* Goes on until it is over. Waits no longer than the jobs may take. */
void errand_wait(struct ledger *ledger);

/* Ends it at once: what was not done is told as canceled. */
void errand_stop(struct ledger *ledger);
