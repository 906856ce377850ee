/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listeners: what one thread sees of a listening socket.
 *
 *              +-- sessions, share, descriptors, memory ---+
 *              |                                           v
 *     OPEN: listening                                    paused
 *              ^                                           |
 *              +-- a session ended, or the timer ----------+
 *              |
 *     LEAVING: accepted from until it has been empty for a while, then closed, by its last reader
 */
#pragma once

#include "base/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct generation;
struct ledger_listener;
struct thread;

enum {
	LISTENER_BATCH = 64, /* connections accepted a turn */
	LISTENER_RESUMED = 16, /* paused listeners that go on when a session ends */
};

struct listener {
	struct timer timer;
	struct thread *thread; /* NULL: not this thread's */
	const struct generation *generation;
	uint32_t paused; /* enum ledger_pause */
	struct listener *paused_next; /* of the thread's, while on_paused_list */
	bool on_paused_list;
	uint32_t sessions; /* that it feeds */
	int fd;
	bool fed;        /* a datagram socket: its messages are read here */
	bool held_back;  /* ... but not now: its session takes none */
	bool owed;       /* the message at the head of its queue is on its way already */
	uint32_t errors; /* that its socket gave in place of messages, in a row */
	uint64_t stuck;  /* drop-old: exchange_gives_up() */
};

/* Takes up every listener of the ledger that this thread has a part in. */
void listeners_adopt(struct thread *thread);

/* An event of the loop. */
void listener_handle(void *thread, uint64_t name, uint32_t events);

/* A session of the thread has ended: what was paused for want of room may go on, those first that have waited for the longest time. */
void listeners_resume(struct thread *thread);

/* A datagram listener feeds one session more, or one less. */
void listener_adopt_session(struct thread *thread, uint32_t index, int more);

/* A datagram listener is not read until listener_go_on(), or that time. */
void listener_hold_back(struct listener *listener, uint64_t until);
void listener_go_on(struct thread *thread, uint32_t index);

const char *listener_pause_name(uint32_t pause);
