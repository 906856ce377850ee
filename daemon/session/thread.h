/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker and its threads. Each thread has its own loop, listening sockets, pipes and sessions,
 * for life; what threads share is the ledger. The clerk is one more thread, without traffic: it
 * answers splicectl and resolves names.
 *
 *   worker --+-- thread 0 .. n-1 -- sessions, pipes, listeners
 *            +-- thread n: the clerk
 */
#pragma once

#include "base/index.h"
#include "base/loop.h"
#include "ledger/ledger.h"
#include "session/lease.h"
#include "session/pipe.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct balance_ring;
struct buffers;
struct chains;
struct dispatch;
struct families;
struct generation;
struct mover_events;
struct queues;
struct session;
struct share;
struct worker;

/* Kinds of descriptors that a loop watches; bit 31 of a session's index is the side (0: client, 1:
 * target). */
enum loop_kind {
	KIND_WAKE,
	KIND_SESSION,
	KIND_RIVAL, /* dispatch/race.h */
	KIND_LISTENER,
	KIND_CONTROL,
	KIND_CONTROL_LISTENER,
	KIND_RESOLVER,
	KIND_HEALTH,
	KIND_KEEPER
};

struct thread {
	struct worker *worker;
	uint32_t index;
	pthread_t pthread;
	struct ledger_thread *record;
	struct loop loop;
	struct pipes pipes;
	struct leases leases;
	int32_t *fronts; /* [LEDGER_LISTENERS_MAX], mapped: sockets that feed sessions of this
			    thread, + 1; 0: none */
	struct dispatch *dispatch; /* dispatch/dispatch.h */
	/* session slots: freed ones first, then the thread's own share from the cursor on */
	uint32_t *free_slots;
	uint32_t n_free, cursor;
	uint32_t watched; /* the serial under which a session's socket was watched last */
	/* sessions with more work than their turn allowed, and those that ended in this one */
	struct session *ready_first, *ready_last;
	struct buffers *buffers; /* message buffers, mapped */
	int wake_fd;		 /* eventfd(2) */
	_Atomic uint64_t kill; /* serial << 32 | slot + 1 of a session that the clerk wants to end;
				  0: none */
};

struct worker {
	struct ledger *ledger;
	struct generation *generations; /* newest first */
	const struct families *families;
	uint32_t *barred;	  /* [route slot]: hand.h; NULL: nothing is */
	struct session *sessions; /* [n_sessions], mapped, touched where used */
	struct share *share;
	struct balance_ring **rings; /* as a thread's pools */
	struct queues *queues;	     /* dispatch/queue.h */
	/* which targets of a route (its record) may be chosen has changed; NULL: nobody waits
	 * for it */
	void (*pool_changed)(struct thread *thread, uint32_t route);
	struct thread *threads; /* n_threads, and the clerk */
	uint32_t n_threads;
	struct index dials; /* permanent.c: the threads of those that have sessions, as these were
			       found */
	uint64_t seed;	    /* of the tables whose keys peers choose */
	struct chains *chains; /* chain.h */
	const struct mover_events *events;
	struct ratelimit *ratelimit; /* ratelimit.h */
	bool log_sessions;
	bool planned; /* the previous worker stopped cleanly */
	_Atomic bool stop;
};

static inline struct thread *worker_clerk(struct worker *worker)
{
	return &worker->threads[worker->n_threads];
}

/* The current thread; NULL: not one of a worker's. Only their own thread touches sessions, pipes
 * and listeners. */
extern _Thread_local struct thread *thread_self;

static inline bool thread_is_self(const struct thread *thread)
{
	return !thread_self || thread_self == thread;
}

/* The heart beats for each turn, for each object taken in hand, and for each message or batch of
 * messages: it stops only if a single one of these hangs, however many a turn has. */
static inline void thread_beat(const struct thread *thread)
{
	atomic_fetch_add_explicit(&thread->record->beats, 1, memory_order_relaxed);
}

/* Wakes a waiting thread. */
void thread_wake(struct thread *thread);
