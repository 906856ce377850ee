/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much there may be: what the check refuses is what the daemon has places for. The ledger has
 * places for two configurations of this size, for while one takes the other's place both are there.
 */
#pragma once

#include <stdint.h>

struct check;
struct config;

enum {
	LIMIT_ROUTES = 16384,
	LIMIT_TARGETS = 49152,	 /* and dials */
	LIMIT_LISTENERS = 16384, /* `ip` on every address is two */
	LIMIT_COMPANIONS = 64, /* listeners that their family accompanies by a process (plugin.h) */
	LIMIT_SESSION_DESCRIPTORS = 4, /* at most of a session: a socket and a pipe each way */
	LIMIT_SESSIONS_MIN = 16,       /* that descriptors are kept for, however few there are */
};

/* Refuses, with file and line, what is beyond a limit, and listeners that RLIMIT_NOFILE
 * (getrlimit(2)) leaves no sockets for. 0. */
int limit_check(struct check *check);

/* How the limit of descriptors is raised, where this process was started: "LimitNOFILE= of the
 * unit", or ulimit. */
const char *limit_remedy(void);

/* Descriptors that a process like this one may have open. */
uint32_t limit_descriptors(void);

/* One above the highest number that a descriptor may have; also of one that was opened when the
 * limit was higher. */
uint32_t limit_numbers(void);

/* Listeners of the routes that are enabled. */
uint32_t limit_count_listeners(const struct config *config);

/* Sessions that there are descriptors for, beside so many listeners with a socket for each thread
 * where that is no more than a quarter. */
uint32_t limit_sessions(uint32_t descriptors, uint32_t listeners, uint32_t threads);

/* Listening sockets that there may be: one for each listener, and more while they are a quarter of
 * all descriptors at most. */
uint32_t limit_sockets(uint32_t descriptors, uint32_t listeners);
