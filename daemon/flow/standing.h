/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Standing sessions: those that nobody has to ask for. A feed's messages simply come, and a `dial` is connected by us; each has
 * one session, in one thread, and when that ends a new one is begun, after a pause that doubles up to retry.max_backoff.
 */
#pragma once

#include <stdint.h>

struct session;
struct thread;
struct worker;

/* Before there are threads: whose the sessions of dials are. */
void standing_find_owners(struct worker *worker);

/* Once every session is adopted: finds those that stand already, and begins the others. -ENOMEM. */
int standing_adopt(struct thread *thread);

/* A standing session moves traffic: when it ends, the next pause is the shortest. */
void standing_relays(struct session *session);

/* It has ended. */
void standing_ended(struct session *session);

/* A feed's listener leaves: no new session is begun from it. */
void standing_leave(struct thread *thread, uint32_t listener);
