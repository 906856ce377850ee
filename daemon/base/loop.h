/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The event loop of one thread: epoll(7), timers, and a number where others keep a pointer.
 *
 * What epoll stores for a descriptor is (kind, index): which table, and which record there. A record may have ended, and
 * another begun in its place, between the event and its turn; so a handler takes an event for a hint and asks the kernel.
 * A handler may end any record, its own too.
 */
#pragma once

#include "base/timer.h"

#include <stdint.h>
#include <sys/epoll.h>

enum { LOOP_KINDS = 16, LOOP_EVENTS = 128, LOOP_TIMERS_A_TURN = 1024 };

typedef void (*loop_handler)(void *context, uint32_t index, uint32_t events);

struct loop {
	int epoll_fd;
	uint64_t now; /* CLOCK_MONOTONIC, ns, when the turn began */
	struct timers timers;
	struct {
		loop_handler handler;
		void *context;
	} kinds[LOOP_KINDS];
	struct epoll_event events[LOOP_EVENTS];
};

/* max_timers: timers that may be set at once. 0 or negative errno. */
int loop_init(struct loop *loop, uint32_t max_timers);
void loop_done(struct loop *loop);

/* Says who handles the events of a kind. */
void loop_handle(struct loop *loop, uint8_t kind, loop_handler handler, void *context);

/* epoll_ctl(2) ADD, MOD and DEL. 0 or negative errno. */
int loop_add(struct loop *loop, int fd, uint32_t events, uint8_t kind, uint32_t index);
int loop_change(struct loop *loop, int fd, uint32_t events, uint8_t kind, uint32_t index);
int loop_remove(struct loop *loop, int fd);

/* Waits until something happens or a timer is due, at most `longest` ns. loop_dispatch() then handles it. Returns the
 * number of events, or negative errno. */
int loop_wait(struct loop *loop, uint64_t longest);
void loop_dispatch(struct loop *loop, int count);
