/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs: what is done to listening sockets with code of families. They are described by the keeper,
 * and run by a child of its (errand.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct config_endpoint;
struct config_leg;
struct config_route;
struct report;

enum job_kind {
	JOB_OPEN,  /* opens n sockets, and binds them */
	JOB_TRY,   /* whether LIVE options that have changed can be set, which may take a
		    * privilege: on a socket that is not used otherwise */
	JOB_LIVE,  /* sets LIVE options on sockets that are open */
	JOB_BOUND, /* sets up sockets that were bound late */
	JOB_LEAVE, /* removes what sockets leave behind: a name in the file system, what was asked
		      of the kernel */
};

/* The configuration's parts must live until the child has been forked. */
struct job {
	enum job_kind kind;
	bool probe; /* OPEN: the address is first bound alone */
	bool share; /* OPEN: with others of this daemon */
	const struct config *config;
	const struct config_route *route;
	const struct config_endpoint *endpoint;
	const struct config_leg *leg;
	uint32_t record; /* of the ledger, for the receiver of the outcome */
	uint32_t n;
	int *fds; /* LIVE, BOUND, LEAVE: n sockets, owned; some may be -1 */
};

struct jobs {
	struct job *list;
	uint32_t n;
};

/* Adds one, with a copy of job->fds. 0 or -ENOMEM. */
int jobs_add(struct jobs *jobs, const struct job *job);
void jobs_free(struct jobs *jobs);

/* Runs one. OPEN: fds gets n descriptors, which the caller owns. 0 or negative errno, with what is
 * wrong in report. */
int job_run(const struct job *job, int *fds, struct report *report);

/* Whether the socket is the service manager's, which keeps it when we close it. */
bool job_is_passed(const struct config_endpoint *endpoint);
