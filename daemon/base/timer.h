/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Timers: a binary heap over timers that their owners embed. Sized at the start; nothing here
 * allocates later. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embed it, zeroed. It belongs to its owner; the heap only points at it while it is set. */
struct timer {
	uint64_t at;	   /* CLOCK_MONOTONIC, ns */
	uint32_t position; /* in the heap, from 1; 0: not set */
	void (*fire)(
		struct timer *timer); /* called with the timer no longer set; it may set it again */
};

struct timers {
	struct timer **heap; /* heap[1] is the earliest */
	uint32_t count, size;
};

/* Room for at most size timers that are set at once. -ENOMEM. */
int timers_init(struct timers *timers, uint32_t size);
void timers_done(struct timers *timers);

/* Sets the timer to a time, or moves it there. */
void timer_set(struct timers *timers, struct timer *timer, uint64_t at);
void timer_clear(struct timers *timers, struct timer *timer);

static inline bool timer_is_set(const struct timer *timer)
{
	return timer->position != 0;
}

/* When the next one is due, or UINT64_MAX. */
uint64_t timers_next(const struct timers *timers);

/* Fires what is due at `now`, at most `most` timers. */
void timers_fire(struct timers *timers, uint64_t now, unsigned most);
