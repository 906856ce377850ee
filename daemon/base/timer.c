/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Timers: a binary heap. It owns the array of pointers and nothing else; a timer stores its
 * position in the heap, so that setting, moving and clearing cost O(log n) without a search.
 */
#include "base/timer.h"

#include "base/assert.h"

#include <errno.h>
#include <sys/mman.h>

int timers_init(struct timers *timers, uint32_t size)
{
	assert(size > 0);
	/* Mapped, not malloc'ed: pages of places that are never reached cost nothing. */
	void *heap = mmap(NULL, (size + 1ull) * sizeof *timers->heap, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (heap == MAP_FAILED)
		return -ENOMEM;
	*timers = (struct timers){.heap = heap, .size = size};
	return 0;
}

void timers_done(struct timers *timers)
{
	if (timers->heap)
		munmap(timers->heap, (timers->size + 1ull) * sizeof *timers->heap);
	*timers = (struct timers){0};
}

static void place(struct timers *timers, struct timer *timer, uint32_t position)
{
	assert(position > 0 && position <= timers->count);
	timers->heap[position] = timer;
	timer->position = position;
}

static void sift_up(struct timers *timers, struct timer *timer, uint32_t position)
{
	for (; position > 1 && timers->heap[position / 2]->at > timer->at; position /= 2)
		place(timers, timers->heap[position / 2], position);
	place(timers, timer, position);
}

static void sift_down(struct timers *timers, struct timer *timer, uint32_t position)
{
	uint32_t child;

	for (; (child = position * 2) <= timers->count; position = child) {
		if (child < timers->count && timers->heap[child + 1]->at < timers->heap[child]->at)
			child++;
		if (timers->heap[child]->at >= timer->at)
			break;
		place(timers, timers->heap[child], position);
	}
	place(timers, timer, position);
}

void timer_set(struct timers *timers, struct timer *timer, uint64_t at)
{
	uint64_t was = timer->at;

	assert(timer->fire);
	assert(timer->position <= timers->count);
	assert(!timer->position || timers->heap[timer->position] == timer);
	timer->at = at;
	if (!timer->position) {
		assert(timers->count < timers->size);
		sift_up(timers, timer, ++timers->count);
	} else if (at < was) {
		sift_up(timers, timer, timer->position);
	} else {
		sift_down(timers, timer, timer->position);
	}
}

void timer_clear(struct timers *timers, struct timer *timer)
{
	uint32_t position = timer->position;
	struct timer *last;

	if (!position)
		return;
	assert(position <= timers->count && timers->heap[position] == timer);
	timer->position = 0;
	last = timers->heap[timers->count--];
	if (last == timer)
		return;
	if (position > 1 && timers->heap[position / 2]->at > last->at)
		sift_up(timers, last, position);
	else
		sift_down(timers, last, position);
}

uint64_t timers_next(const struct timers *timers)
{
	return timers->count ? timers->heap[1]->at : UINT64_MAX;
}

void timers_fire(struct timers *timers, uint64_t now, unsigned most)
{
	while (most-- && timers->count && timers->heap[1]->at <= now) {
		struct timer *timer = timers->heap[1];

		assert(timer->at <= now && timer->position == 1);
		timer_clear(timers, timer);
		timer->fire(timer);
	}
}
