/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Queues: sessions that wait until a target of their pool has a place, because all that may be
 * chosen have max_sessions. A pool (a route of a generation) has one queue, of as many places as
 * the `queue` of those targets together.
 *
 * Order: first come, first served, over all threads. A session that begins to wait gets the next
 * ticket; it is in its record, so that it keeps its position if the worker dies. No session of the
 * pool takes a place while one waits that could take it: it waits behind it. Sessions of an earlier
 * generation of the route are served before those of a later one.
 *
 *     queue ---+-- thread 0: first .. last    by ticket; only the thread itself touches its line,
 *              +-- thread 1: first .. last    and publishes the first ticket as `head`
 *
 * A thread that frees a place, or changes which targets may be chosen, calls the one that has the
 * lowest ticket; that one connects its first session (queue_serve.h), and calls the next. No lock:
 * a session publishes its ticket, then looks for a place once more; a thread that frees one looks
 * for tickets after that. Nothing is looked at periodically.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct generation;
struct ledger_flow;
struct ledger_session;
struct queue;
struct session;
struct thread;
struct worker;

struct queue_line {
	_Atomic uint64_t head; /* the lowest ticket; 0: nobody waits */
	uint32_t first, last;  /* slots + 1 */
	_Atomic bool called;   /* it is in its thread's list of calls, */
	struct queue *next;    /* ... before this one */
};

struct queue {
	const struct generation *generation;
	uint32_t route, slot; /* its number there, and its record */
	struct queue *newer;  /* of the same route, in a later generation */
	_Atomic uint32_t waiting;
	_Atomic uint32_t changes; /* raised when a place may have become free */
	_Atomic uint32_t freed;	  /* the member that had the newest free place, plus one */
	struct queue_line lines[];
};

/* A session's place in its thread's line. */
struct queue_link {
	uint32_t next, before; /* slots + 1 */
	bool waits;
	bool noted; /* its flow has a ticket */
};

struct queues {
	uint32_t *limits;	  /* [record of the target]: max_sessions as the newest generation
				     that has it says */
	struct queue **oldest;	  /* [record of the route]; NULL: no target of it has a limit */
	struct queue **pools;	  /* as a thread's pools */
	struct queue_link *links; /* [slot of the session] */
	_Atomic uint64_t turn;	  /* the newest ticket */
};

/* The queues of all generations, with the sessions that waited when the worker before ended.
 * -ENOMEM. */
int queues_new(struct worker *worker);

/* Whether the record is that of a session that waits. */
bool queue_has_record(const struct ledger_session *record, const struct ledger_flow *flow);

/* Whether it waits. */
bool queue_has(const struct session *session);

/* Whether it may not take a place now: others come first. */
bool queue_holds(const struct session *session);

/* It waits from now on, until its flow's waits_until at most. False: no more may. The caller calls
 * queue_call() afterwards. */
bool queue_enter(struct session *session);

/* It waits no longer, if it did: it has a place. An heir still knows its ticket. */
void queue_leave(struct session *session);

/* The same, and nor does an heir. */
void queue_forget(struct session *session);

/* The member that the session was at has a place more. */
void queue_free(const struct session *session);

/* A place may be free in the route (its record): calls the thread whose turn it is. */
void queue_change(struct thread *thread, uint32_t route);
void queue_call(struct thread *thread, uint32_t route);

/* After adoption: for all queues that the thread has sessions in. */
void queue_call_adopted(struct thread *thread);

/* The queues that the thread was called for, one after the other: NULL: no more. A list that
 * queue_take_calls() has detached. */
struct queue *queue_take_calls(struct thread *thread);
struct queue *queue_next_call(struct thread *thread, struct queue *queue);

/* The thread's first session, if it is the first of the queue and a place is free; or NULL. */
struct session *queue_first(struct thread *thread, const struct queue *queue);

/* How many sessions wait, of all generations of a route (its record). */
uint32_t queue_count(const struct worker *worker, uint32_t route);
