/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a thread has in hand: recorded before it is touched, so that a crash of the worker can be
 * attributed to it; and which callbacks are barred meanwhile, because they crashed the worker too
 * often for this route.
 */
#pragma once

#include <stdint.h>

struct session;
struct thread;
struct worker;

/* Looks up which callbacks are barred, for a worker's life. 0 or -ENOMEM. */
int hands_init(struct worker *worker);

/* A session whose generation and route are known; a listener of the thread's worker; a route's
 * slot, if its records are only read; nothing. */
void hand_session(const struct session *session);
void hand_listener(const struct thread *thread, uint32_t index);
void hand_route(const struct thread *thread, uint32_t slot);
void hand_empty(const struct thread *thread);
