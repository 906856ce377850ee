/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The event loop of one thread: epoll(7), timers, and a number where others keep a pointer.
 *
 * What epoll stores for a descriptor is (kind, name): which table, and which record there. A record
 * may have ended, and another begun in its place, between the event and its turn; and a descriptor
 * that a forked child still has open keeps reporting events. So a name has a serial beside the
 * index: users whose records come and go while the loop runs give each descriptor a new serial, and
 * ignore events with one that they do not know. A handler may end any record, its own too.
 */
#pragma once

#include "base/timer.h"

#include <stdint.h>
#include <sys/epoll.h>

enum { LOOP_KINDS = 16, LOOP_EVENTS = 128, LOOP_TIMERS_A_TURN = 1024 };

/* A name, as the kernel stores it for a descriptor: an index, and a serial of this many bits. */
enum { LOOP_SERIAL_BITS = 28 };

static inline uint64_t loop_name(uint32_t index, uint32_t serial)
{
	return (uint64_t)(serial & ((1u << LOOP_SERIAL_BITS) - 1)) << 32 | index;
}

static inline uint32_t loop_index(uint64_t name)
{
	return (uint32_t)name;
}

static inline uint32_t loop_serial(uint64_t name)
{
	return (uint32_t)(name >> 32);
}

/* The serial after this one; never 0. */
static inline uint32_t loop_next_serial(uint32_t serial)
{
	return serial + 1 < 1u << LOOP_SERIAL_BITS ? serial + 1 : 1;
}

typedef void (*loop_handler)(void *context, uint64_t name, uint32_t events);

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

/* Sets the handler for the events of a kind. */
void loop_handle(struct loop *loop, uint8_t kind, loop_handler handler, void *context);

/* epoll_ctl(2) ADD, MOD and DEL. 0 or negative errno. */
int loop_add(struct loop *loop, int fd, uint32_t events, uint8_t kind, uint64_t name);
int loop_change(struct loop *loop, int fd, uint32_t events, uint8_t kind, uint64_t name);
int loop_remove(struct loop *loop, int fd);

/* Waits until something happens or a timer is due, at most `longest` ns. loop_dispatch() then
 * handles it. Returns the number of events, or negative errno. */
int loop_wait(struct loop *loop, uint64_t longest);
void loop_dispatch(struct loop *loop, int count);
