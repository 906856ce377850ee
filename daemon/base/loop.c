/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The event loop. It owns one epoll descriptor. Waiting and handling are two calls, because between
 * them a thread announces that it is awake (a heartbeat that stops means that a handler hangs).
 */
#include "base/loop.h"

#include "base/assert.h"
#include "base/clock.h"

#include <errno.h>
#include <unistd.h>

enum { KIND_SHIFT = 32 + LOOP_SERIAL_BITS };

#define NAME_BITS ((UINT64_C(1) << KIND_SHIFT) - 1)

_Static_assert(LOOP_KINDS <= 1 << (64 - KIND_SHIFT), "a kind stands above a name");

int loop_init(struct loop *loop, uint32_t max_timers)
{
	int r = timers_init(&loop->timers, max_timers);

	assert(max_timers > 0);
	if (r < 0)
		return r;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		r = -errno;
		timers_done(&loop->timers);
		return r;
	}
	loop->now = clock_monotonic();
	return 0;
}

void loop_done(struct loop *loop)
{
	close(loop->epoll_fd);
	timers_done(&loop->timers);
}

void loop_handle(struct loop *loop, uint8_t kind, loop_handler handler, void *context)
{
	assert(kind < LOOP_KINDS);
	assert(handler);
	loop->kinds[kind].handler = handler;
	loop->kinds[kind].context = context;
}

static int control(struct loop *loop, int operation, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};

	return epoll_ctl(loop->epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, int fd, uint32_t events, uint8_t kind, uint64_t name)
{
	assert(fd >= 0 && fd != loop->epoll_fd);
	assert(kind < LOOP_KINDS && loop->kinds[kind].handler);
	assert(!(name & ~NAME_BITS));
	return control(loop, EPOLL_CTL_ADD, fd, events, (uint64_t)kind << KIND_SHIFT | name);
}

int loop_change(struct loop *loop, int fd, uint32_t events, uint8_t kind, uint64_t name)
{
	assert(fd >= 0 && kind < LOOP_KINDS);
	assert(!(name & ~NAME_BITS));
	return control(loop, EPOLL_CTL_MOD, fd, events, (uint64_t)kind << KIND_SHIFT | name);
}

int loop_remove(struct loop *loop, int fd)
{
	assert(fd >= 0);
	return control(loop, EPOLL_CTL_DEL, fd, 0, 0);
}

/* Milliseconds to wait, rounded up, so that a timer is due when epoll_wait(2) returns. */
static int wait_time(const struct loop *loop, uint64_t longest)
{
	uint64_t next = timers_next(&loop->timers), now;

	if (!longest)
		return 0;
	if (next != UINT64_MAX) {
		now = clock_monotonic();
		if (next <= now)
			return 0;
		if (next - now < longest)
			longest = next - now;
	}
	return (int)((longest + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

int loop_wait(struct loop *loop, uint64_t longest)
{
	int n = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS, wait_time(loop, longest));

	loop->now = clock_monotonic();
	return n >= 0 ? n : errno == EINTR ? 0 : -errno;
}

void loop_dispatch(struct loop *loop, int count)
{
	assert(count >= 0 && count <= LOOP_EVENTS);
	for (int i = 0; i < count; i++) {
		uint64_t data = loop->events[i].data.u64;
		uint8_t kind = (uint8_t)(data >> KIND_SHIFT);

		assert(kind < LOOP_KINDS && loop->kinds[kind].handler);
		loop->kinds[kind].handler(loop->kinds[kind].context, data & NAME_BITS,
					  loop->events[i].events);
	}
	timers_fire(&loop->timers, loop->now, LOOP_TIMERS_A_TURN);
}
