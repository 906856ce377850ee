/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listeners: what one thread sees of a listening socket.
 *
 *              +-- sessions, limit, descriptors, memory ---+
 *              |                                           v
 *     OPEN: listening                                    paused
 *              ^                                           |
 *              +-- a session ended, or the timer ----------+
 *              |
 *     LEAVING: accepted from until it has been empty for a while, then closed, by its last reader
 */
#pragma once

#include "base/timer.h"

#include <stdint.h>

struct generation;
struct ledger_listener;
struct thread;

enum {
	LISTENER_BATCH = 64, /* connections accepted a turn */
};

struct listener {
	struct timer timer;
	struct thread *thread; /* NULL: not this thread's */
	const struct generation *generation;
	uint32_t paused; /* enum ledger_pause */
	int fd;
};

/* Takes up every listener of the ledger that this thread has a part in. */
void listeners_adopt(struct thread *thread);

/* An event of the loop. */
void listener_handle(void *thread, uint32_t index, uint32_t events);

/* A session of the thread has ended: what was paused for want of room may go on. */
void listeners_resume(struct thread *thread);

const char *listener_pause_name(uint32_t pause);
