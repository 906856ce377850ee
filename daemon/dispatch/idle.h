/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Datagram sessions of a thread, by route, in the order in which something last moved in them:
 * under a flood of new peers the oldest is evicted. A busy session is moved to the end every
 * IDLE_GRAIN_MS, so that its messages cost nothing; in case it is still among the oldest, and for
 * an heir, which finds the sessions in no order, the first IDLE_LOOKS are examined, and the one
 * that was idle longest is evicted. No more are examined for one message.
 */
#pragma once

#include <stdint.h>

struct session;
struct thread;

enum { IDLE_GRAIN_MS = 50, IDLE_LOOKS = 8, IDLE_LOG_SECONDS = 10 };

struct idle_list {
	uint32_t first, last; /* slots + 1; the first is the oldest */
	uint32_t evicted;     /* since the last line in the log */
	uint64_t logged;      /* CLOCK_MONOTONIC, ns; 0: never */
};

/* A datagram listener's session is begun or adopted, something moved in it, it ends. Of other
 * sessions nothing is kept. */
void idle_add(struct session *session);
void idle_touch(struct session *session);
void idle_remove(struct session *session);

/* Of a route (its record in the ledger), the one in which nothing has moved for the longest time,
 * of those looked at. NULL: this thread has none. */
struct session *idle_oldest(const struct thread *thread, uint32_t route);

/* The list that the session is in, or would be. */
struct idle_list *idle_list_of(const struct session *session);
