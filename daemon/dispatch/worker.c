/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads of a worker. Everything a thread needs is made before it starts; the data path allocates
 * nothing and takes no lock. A turn: wait, handle the events, serve the sessions that had more to
 * do; the heart beats before each step.
 */
#include "dispatch/worker.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "dispatch/chain.h"
#include "dispatch/clear.h"
#include "dispatch/connect.h"
#include "dispatch/datagram_lanes.h"
#include "dispatch/dispatch.h"
#include "dispatch/evict.h"
#include "dispatch/idle.h"
#include "dispatch/listener.h"
#include "dispatch/peers.h"
#include "dispatch/permanent.h"
#include "dispatch/pool_view.h"
#include "dispatch/queue.h"
#include "dispatch/queue_serve.h"
#include "dispatch/ratelimit.h"
#include "dispatch/session_begin.h"
#include "dispatch/session_end.h"
#include "dispatch/session_event.h"
#include "dispatch/session_ready.h"
#include "dispatch/share.h"
#include "ledger/generation.h"
#include "move/mover.h"
#include "net/callback.h"
#include "session/buffers.h"
#include "session/hand.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	HEARTBEAT_SECONDS = 1, /* a thread with nothing to do beats so often */
	LARGE_PIPES = 32,      /* of all threads: half of what the kernel grants a user */
	SIGNAL_STACK = 64 << 10,
};

/* Movers report to the code that chose the target, and to the owner of lanes. */
static const struct mover_events mover_events = {
	.lost = connect_lost,
	.proven = connect_proven,
	.sent = connect_sent,
	.offer = datagram_lanes_offer,
	.pass_on = datagram_lanes_pass_on,
};

/* Memory for tables that are large and mostly never touched. */
static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void take_kill(struct thread *thread)
{
	uint64_t wanted = atomic_exchange(&thread->kill, 0);
	struct session *session;
	struct ledger_session *record;

	assert(thread_is_self(thread));
	if (!wanted)
		return;
	session = session_at(thread, (uint32_t)wanted - 1);
	if (session->thread != thread)
		return;
	record = session_record(session);
	if (record->serial == wanted >> 32 &&
	    (record->state == SESSION_CONNECTING || record->state == SESSION_RELAYING)) {
		hand_session(session);
		session_end(session, END_KILLED, 0);
	}
}

static void woken(void *context, uint64_t name, uint32_t events)
{
	struct thread *thread = context;
	uint64_t count;

	(void)name, (void)events;
	if (read(thread->wake_fd, &count, sizeof count) < 0)
		return;
	take_kill(thread);
	evict_for_others(thread);
	clear_disabled(thread);
	queue_serve(thread);
}

static struct ledger_keeper *crash_record;

/* Records which thread it was, for the keeper to see what it had in hand, and lets the signal
 * take effect. A signal from another process is no evidence against the thread that received it. */
static void note_crash(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_code <= 0 && info->si_pid != getpid())
		crash_record->struck = (uint32_t)number;
	else if (thread_self)
		thread_self->record->crashed = (uint32_t)number;
	signal(number, SIG_DFL);
	raise(number);
}

/* A callback that calls exit(3) ends the worker as a signal does. */
static void note_exit(void)
{
	if (thread_self)
		thread_self->record->crashed = CRASH_EXIT;
}

void worker_catch_crashes(struct ledger_keeper *keeper)
{
	static const int numbers[] = {SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGTRAP};
	struct sigaction action = {.sa_sigaction = note_crash,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

	crash_record = keeper;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sigaction(numbers[i], &action, NULL);
	atexit(note_exit);
}

static void use_signal_stack(void)
{
	stack_t stack = {.ss_sp = map(SIGNAL_STACK), .ss_size = SIGNAL_STACK};

	if (stack.ss_sp)
		sigaltstack(&stack, NULL);
}

static void adopt_sessions(struct thread *thread)
{
	struct worker *worker = thread->worker;
	struct ledger *ledger = worker->ledger;

	assert(thread->index < worker->n_threads);
	for (uint32_t slot = 0; slot < ledger_sessions_high(ledger); slot++) {
		struct ledger_session *record = &ledger->sessions[slot];

		if (record->thread != thread->index)
			continue;
		if (record->state == SESSION_CONNECTING || record->state == SESSION_RELAYING)
			session_adopt(thread, slot,
				      generation_find(worker->generations, record->generation));
	}
}

static void turn(struct thread *thread)
{
	int count = loop_wait(&thread->loop,
			      thread->ready_first ? 0 : HEARTBEAT_SECONDS * NSEC_PER_SEC);

	assert(!thread->buffers->in_hand && !thread->dispatch->passes_on);
	thread_beat(thread);
	loop_dispatch(&thread->loop, count > 0 ? count : 0);
	if (thread->ready_first)
		session_serve_ready(thread);
	assert(!thread->ready_first == !thread->ready_last);
	assert(!thread->dispatch->paused_first == !thread->dispatch->paused_last);
	assert(!thread->buffers->in_hand && !thread->dispatch->passes_on);
	hand_empty(thread);
}

static void *thread_run(void *argument)
{
	struct thread *thread = argument;
	struct worker *worker = thread->worker;
	char name[16];

	thread_self = thread;
	callback_state.word = &thread->record->callback;
	snprintf(name, sizeof name,
		 thread->index == worker->n_threads ? "spliced-clerk" : "spliced-%u",
		 thread->index);
	pthread_setname_np(pthread_self(), name);
	use_signal_stack();
	thread->loop.now = clock_monotonic();
	if (thread->index < worker->n_threads) {
		listeners_adopt(thread);
		adopt_sessions(thread);
		if (permanent_adopt(thread) < 0)
			log_error(
				"no memory for feeds and dials: they are inactive until a reload");
		clear_ask(thread);
		queue_call_adopted(thread);
		hand_empty(thread);
	}
	while (!atomic_load_explicit(&worker->stop, memory_order_acquire))
		turn(thread);
	return NULL;
}

static int dispatch_init(struct thread *thread)
{
	struct dispatch *dispatch = thread->dispatch = calloc(1, sizeof *dispatch);
	int r;

	if (!dispatch)
		return -ENOMEM;
	dispatch->listeners = map(LEDGER_LISTENERS_MAX * sizeof *dispatch->listeners);
	dispatch->idle = map(LEDGER_ROUTES_MAX * sizeof *dispatch->idle);
	if (!dispatch->listeners || !dispatch->idle)
		return -ENOMEM;
	r = peers_init(thread);
	return r ? r : pool_views_init(thread);
}

static int thread_init(struct thread *thread, struct worker *worker, uint32_t index)
{
	struct ledger *ledger = worker->ledger;
	uint32_t share = LARGE_PIPES / worker->n_threads;
	int r;

	assert(index <= worker->n_threads);
	thread->worker = worker;
	thread->index = index;
	thread->record = &ledger->threads[index];
	thread->cursor = index;
	leases_init(&thread->leases, thread);
	r = loop_init(&thread->loop, ledger->n_sessions + 2 * LEDGER_LISTENERS_MAX +
					     2 * LEDGER_TARGETS_MAX + LEDGER_CONTROLS_MAX + 64);
	if (r < 0)
		return r;
	pipes_init(&thread->pipes, share ? share : 1);
	thread->fronts = map(LEDGER_LISTENERS_MAX * sizeof *thread->fronts);
	thread->free_slots = map((size_t)ledger->n_sessions * sizeof *thread->free_slots);
	thread->buffers = map(sizeof *thread->buffers);
	if (!thread->fronts || !thread->free_slots || !thread->buffers)
		return -ENOMEM;
	thread->buffers->in = thread->record->in;
	thread->buffers->out = thread->record->out;
	r = dispatch_init(thread);
	if (r < 0)
		return r;
	thread->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (thread->wake_fd < 0)
		return -errno;
	loop_handle(&thread->loop, KIND_WAKE, woken, thread);
	loop_handle(&thread->loop, KIND_SESSION, session_handle, thread);
	loop_handle(&thread->loop, KIND_RIVAL, session_handle_rival, thread);
	loop_handle(&thread->loop, KIND_LISTENER, listener_handle, thread);
	return loop_add(&thread->loop, thread->wake_fd, EPOLLIN, KIND_WAKE, 0);
}

uint64_t worker_draw_seed(void)
{
	uint64_t seed;

	/* It refuses only before the machine has any randomness: then the clock and where memory
	 * lies must do. */
	if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed)
		return seed;
	return clock_monotonic() ^ (uint64_t)(uintptr_t)&seed << 20;
}

int worker_init(struct worker *worker, struct ledger *ledger, struct generation *generations,
		const struct families *families)
{
	int r;

	assert(ledger->n_threads > 0 && ledger->n_threads < LEDGER_THREADS_MAX);
	worker->ledger = ledger;
	worker->generations = generations;
	worker->families = families;
	worker->events = &mover_events;
	worker->pool_changed = queue_change;
	worker->n_threads = ledger->n_threads;
	worker->seed = worker_draw_seed();
	worker->log_sessions = generations->config->daemon[DAEMON_LOG_SESSIONS].value.number != 0;
	worker->threads = calloc(worker->n_threads + 1, sizeof *worker->threads);
	worker->sessions = map((size_t)ledger->n_sessions * sizeof *worker->sessions);
	if (!worker->threads || !worker->sessions)
		return -ENOMEM;
	r = ratelimit_init(worker);
	if (!r)
		r = chains_init(worker);
	if (!r)
		r = hands_init(worker);
	if (!r)
		r = share_new(&worker->share, ledger, generations);
	if (!r)
		r = pool_rings_init(worker);
	if (!r)
		r = queues_new(worker);
	for (uint32_t i = 0; !r && i <= worker->n_threads; i++)
		r = thread_init(&worker->threads[i], worker, i);
	return r;
}

int worker_start(struct worker *worker)
{
	assert(!thread_self);
	for (uint32_t i = 0; i <= worker->n_threads; i++) {
		int r = pthread_create(&worker->threads[i].pthread, NULL, thread_run,
				       &worker->threads[i]);

		if (r)
			return -r;
	}
	return 0;
}

void worker_stop(struct worker *worker)
{
	assert(!thread_self);
	atomic_store_explicit(&worker->stop, true, memory_order_release);
	for (uint32_t i = 0; i <= worker->n_threads; i++)
		thread_wake(&worker->threads[i]);
	for (uint32_t i = 0; i <= worker->n_threads; i++)
		pthread_join(worker->threads[i].pthread, NULL);
}
