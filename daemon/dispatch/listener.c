/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listeners. Watched level-triggered: what a turn's batch leaves is reported again.
 */
#include "dispatch/listener.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "dispatch/dispatch.h"
#include "dispatch/ratelimit.h"
#include "ledger/generation.h"
#include "session/thread.h"

#include <errno.h>

struct ledger_listener *listener_record(const struct thread *thread, uint32_t index)
{
	assert(index < LEDGER_LISTENERS_MAX);
	return &thread->worker->ledger->listeners[index];
}

uint32_t listener_index(const struct listener *listener)
{
	ptrdiff_t index = listener - listener->thread->dispatch->listeners;

	assert(index >= 0 && index < LEDGER_LISTENERS_MAX);
	return (uint32_t)index;
}

const struct config_leg *listener_leg(const struct listener *listener)
{
	const struct ledger_listener *record =
		listener_record(listener->thread, listener_index(listener));

	assert(record->route < listener->generation->config->n_routes);
	return &listener->generation->config->routes[record->route]
			.listen[record->endpoint]
			.legs[record->leg];
}

const struct config_route *listener_route(const struct thread *thread, uint32_t index,
					  const struct generation *generation)
{
	assert(listener_record(thread, index)->route < generation->config->n_routes);
	return &generation->config->routes[listener_record(thread, index)->route];
}

uint32_t listener_route_slot(const struct thread *thread, uint32_t index,
			     const struct generation *generation)
{
	assert(listener_record(thread, index)->route < generation->config->n_routes);
	return generation->route_slots[listener_record(thread, index)->route];
}

const char *listener_pause_name(uint32_t pause)
{
	switch ((enum ledger_pause)pause) {
	case PAUSE_NONE:
		return "";
	case PAUSE_SESSIONS:
		return "max_sessions reached";
	case PAUSE_LIMIT:
		return "limit.sessions reached";
	case PAUSE_DESCRIPTORS:
		return "no descriptors left";
	case PAUSE_MEMORY:
		return "no memory left";
	case PAUSE_ERROR:
		return "accept failed";
	case PAUSE_DEATHS:
		return "in hand at repeated deaths of the worker";
	case PAUSE_SHARE:
		return "its share of the sessions reached";
	case PAUSE_PIPES:
		return "no pipe left";
	case PAUSE_HELD:
		return "held by the operator";
	case PAUSE_FULL:
		return "all targets are full";
	}
	return "?";
}

/* A UNIX datagram socket whose reading side was shut down stays readable: one that leaves is
 * watched edge-triggered. */
static uint32_t interest(const struct listener *listener)
{
	const struct ledger_listener *record =
		listener_record(listener->thread, listener_index(listener));

	if (!listener->is_datagram)
		return EPOLLIN | (record->n_fds == 1 ? EPOLLEXCLUSIVE : 0);
	return EPOLLIN | (record->state == LISTENER_LEAVING ? EPOLLET : 0);
}

int listener_watch(struct listener *listener)
{
	int r = loop_add(&listener->thread->loop, listener->fd, interest(listener), KIND_LISTENER,
			 listener_index(listener));

	assert(listener->thread && listener->fd >= 0);
	return r == -EEXIST ? 0 : r; /* what could not be removed when it paused */
}

/* What a session's end may give. */
bool listener_waits_for_session(uint32_t why)
{
	return why == PAUSE_SESSIONS || why == PAUSE_LIMIT || why == PAUSE_SHARE ||
	       why == PAUSE_DESCRIPTORS;
}

static void wait_for_session(struct listener *listener)
{
	struct thread *thread = listener->thread;

	assert(!thread->dispatch->paused_first == !thread->dispatch->paused_last);
	if (listener->on_paused_list)
		return;
	listener->on_paused_list = true;
	listener->paused_next = NULL;
	if (thread->dispatch->paused_last)
		thread->dispatch->paused_last->paused_next = listener;
	else
		thread->dispatch->paused_first = listener;
	thread->dispatch->paused_last = listener;
}

/* At a limit that lasts, each session that ends resumes it and each new one pauses it again. */
static void log_pause(const struct listener *listener, uint32_t why)
{
	const char *name =
		listener_route(listener->thread, listener_index(listener), listener->generation)
			->name;
	struct log_entry entry = {.event = EVENT_ACCEPTING_RESTS};
	char text[RATELIMIT_TEXT_MAX];
	uint32_t times;

	if (!ratelimit_allows(listener->thread, RATELIMIT_PAUSED,
			      listener_route_slot(listener->thread, listener_index(listener),
						  listener->generation),
			      &times))
		return;
	log_add_field(&entry, "ROUTE", name);
	log_add_field(&entry, "REASON", listener_pause_name(why));
	log_event(why == PAUSE_LIMIT ? LOG_INFO : LOG_WARNING, &entry,
		  "route %s: accepting pauses: %s%s", name, listener_pause_name(why),
		  ratelimit_times(times, text));
}

void listener_pause(struct listener *listener, uint32_t why, uint64_t ms)
{
	struct thread *thread = listener->thread;

	assert(why > PAUSE_NONE && why <= PAUSE_HELD);
	assert(thread_is_self(thread));
	if (!listener->paused) {
		loop_remove(&thread->loop, listener->fd);
		/* Not logged for HELD, which the operator requested. */
		if (atomic_exchange(&listener_record(thread, listener_index(listener))->paused,
				    why) != why &&
		    why != PAUSE_HELD)
			log_pause(listener, why);
	}
	listener->paused = why;
	if (listener_waits_for_session(why))
		wait_for_session(listener);
	if (why != PAUSE_DEATHS)
		timer_set(&thread->loop.timers, &listener->timer,
			  thread->loop.now + ms * NSEC_PER_MSEC);
}

void listener_resume(struct listener *listener)
{
	struct thread *thread = listener->thread;

	timer_clear(&thread->loop.timers, &listener->timer);
	listener->paused = PAUSE_NONE;
	atomic_store(&listener_record(thread, listener_index(listener))->paused, PAUSE_NONE);
	if (listener_watch(listener) < 0)
		listener_pause(listener, PAUSE_MEMORY, LISTENER_PAUSE_MS);
}

void listeners_resume(struct thread *thread)
{
	struct listener *listener;

	assert(thread_is_self(thread));
	for (int i = 0; i < LISTENER_RESUMED && (listener = thread->dispatch->paused_first);) {
		assert(listener->on_paused_list);
		thread->dispatch->paused_first = listener->paused_next;
		if (!thread->dispatch->paused_first)
			thread->dispatch->paused_last = NULL;
		listener->on_paused_list = false;
		/* One that was resumed by its timer, or left, may still be on the list. */
		if (!listener->thread || !listener_waits_for_session(listener->paused))
			continue;
		listener_resume(listener);
		i++;
	}
}

void listener_adopt_session(struct thread *thread, uint32_t index, int more)
{
	assert(index < LEDGER_LISTENERS_MAX);
	assert(more == 1 || (more == -1 && thread->dispatch->listeners[index].sessions > 0));
	thread->dispatch->listeners[index].sessions += (uint32_t)more;
}

void listener_hold_back(struct listener *listener, uint64_t until)
{
	struct loop *loop = &listener->thread->loop;

	assert(listener->is_datagram && listener->thread);
	if (!listener->held_back)
		listener->held_back = loop_change(loop, listener->fd, 0, KIND_LISTENER,
						  listener_index(listener)) == 0;
	timer_set(&loop->timers, &listener->timer, until);
}

void listener_go_on(struct thread *thread, uint32_t index)
{
	struct listener *listener = &thread->dispatch->listeners[index];

	if (!listener->thread || !listener->held_back)
		return;
	if (loop_change(&thread->loop, listener->fd, interest(listener), KIND_LISTENER, index)) {
		timer_set(&thread->loop.timers, &listener->timer,
			  thread->loop.now + LISTENER_PAUSE_MS * NSEC_PER_MSEC);
		return;
	}
	listener->held_back = false;
	if (listener_record(thread, index)->state != LISTENER_LEAVING)
		timer_clear(&thread->loop.timers, &listener->timer);
}
