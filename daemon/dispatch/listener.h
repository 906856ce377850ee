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

struct config_leg;
struct config_route;
struct generation;
struct ledger_listener;
struct thread;

enum {
	LISTENER_BATCH = 64,	 /* connections accepted a turn */
	LISTENER_PAUSE_MS = 100, /* before a paused listener is tried again */
	LISTENER_RESUMED = 16,	 /* paused listeners that resume when a session ends */
};

struct listener {
	struct timer timer;
	struct thread *thread; /* NULL: not this thread's */
	const struct generation *generation;
	uint32_t paused;	      /* enum ledger_pause */
	struct listener *paused_next; /* of the thread's, while on_paused_list */
	bool on_paused_list;
	uint32_t sessions; /* that it feeds */
	int fd;
	bool is_datagram; /* a datagram socket: its messages are read here */
	bool held_back;	  /* ... but not now: its session takes none */
	bool owed;	  /* the message at the head of its queue is on its way already */
	bool removed;	  /* its route is no longer configured, and cannot be released */
	uint32_t errors;  /* that its socket gave in place of messages, in a row */
	uint64_t stuck;	  /* drop-old: exchange_gives_up() */
};

/* Adopts every listener of the ledger that this thread serves. */
void listeners_adopt(struct thread *thread);

/* An event of the loop. */
void listener_handle(void *thread, uint64_t name, uint32_t events);

/* Its record, and its place among the records; what was configured; where its route's record is. */
struct ledger_listener *listener_record(const struct thread *thread, uint32_t index);
uint32_t listener_index(const struct listener *listener);
const struct config_leg *listener_leg(const struct listener *listener);
const struct config_route *listener_route(const struct thread *thread, uint32_t index,
					  const struct generation *generation);
uint32_t listener_route_slot(const struct thread *thread, uint32_t index,
			     const struct generation *generation);

/* Starts to watch it; pauses it for a reason (enum ledger_pause), until it is tried again after
 * a time; resumes it. */
int listener_watch(struct listener *listener);
void listener_pause(struct listener *listener, uint32_t why, uint64_t ms);
void listener_resume(struct listener *listener);

/* Whether a session's end may remove the reason of its pause. */
bool listener_waits_for_session(uint32_t why);

/* A session of the thread has ended: listeners that were paused for lack of room may resume,
 * those first that have waited longest. */
void listeners_resume(struct thread *thread);

/* A datagram listener feeds one session more, or one less. */
void listener_adopt_session(struct thread *thread, uint32_t index, int more);

/* A datagram listener is not read until listener_go_on(), or that time. */
void listener_hold_back(struct listener *listener, uint64_t until);
void listener_go_on(struct thread *thread, uint32_t index);

const char *listener_pause_name(uint32_t pause);
