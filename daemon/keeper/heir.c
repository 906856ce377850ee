/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Heirs. A worker is a clone with CLONE_FILES and without CLONE_VM: its own memory, the common
 * descriptor table. What surprised us: the raw system call leaves the C library's idea of the main
 * thread's id behind, and a setuid(2) in a thread then missed the main thread; CLONE_CHILD_SETTID,
 * at the address that PR_GET_TID_ADDRESS names, mends it. The main thread only waits all the same:
 * everything is done by threads that the C library made.
 */
#include "keeper/heir.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/control.h"
#include "dispatch/adopt.h"
#include "dispatch/health.h"
#include "dispatch/on_down.h"
#include "dispatch/resolve.h"
#include "dispatch/worker.h"
#include "keeper/files.h"
#include "keeper/privilege.h"
#include "keeper/sandbox.h"
#include "ledger/ledger.h"
#include "ledger/original.h"
#include "session/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OOM_SCORE_STEP = 100, OOM_SCORE_MAX = 1000 };

static pid_t clone_sharing_files(void)
{
	unsigned long flags = CLONE_FILES | SIGCHLD;
	int *tid = NULL;

	if (!prctl(PR_GET_TID_ADDRESS, &tid, 0, 0, 0) && tid)
		flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
		/* clone(2): the order of the last two differs between architectures. */
#if defined(__x86_64__) || defined(__alpha__)
	return (pid_t)syscall(SYS_clone, flags, NULL, NULL, tid, NULL);
#elif defined(__s390__)
	return (pid_t)syscall(SYS_clone, NULL, flags, NULL, tid, NULL);
#else
	return (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, tid);
#endif
}

static void wake_keeper(struct ledger *ledger)
{
	uint64_t one = 1;

	if (ledger->keeper_wake >= 0 && write(ledger->keeper_wake, &one, sizeof one) < 0)
		return; /* full: it is being woken already */
}

/* Other duties of the clerk. */
struct clerking {
	struct resolver *resolver;
	struct on_down *on_down;
	struct health *health;
	struct control *control;
};

static int start(struct worker *worker, const struct families *families, struct clerking *clerking)
{
	int r = worker_init(worker, worker->ledger, worker->generations, families);

	if (!r)
		r = resolver_new(&clerking->resolver, worker_clerk(worker));
	if (!r)
		r = on_down_new(&clerking->on_down, worker_clerk(worker));
	if (!r)
		r = health_new(&clerking->health, worker_clerk(worker), clerking->on_down);
	if (!r)
		r = control_new(&clerking->control, worker_clerk(worker));
	if (!r) {
		sandbox_enter(worker->ledger, worker->generations);
		r = worker_start(worker);
	}
	return r;
}

int heir_run(struct ledger *ledger, struct generation *generations, const struct families *families,
	     bool planned)
{
	struct worker worker = {.ledger = ledger, .generations = generations, .planned = planned};
	struct clerking clerking = {0};
	sigset_t stop;
	int r, number;

	atomic_store(&ledger->keeper->worker_state, WORKER_SWEEPING);
	worker_catch_crashes(ledger->keeper);
	adopt_ledger(&worker);
	r = start(&worker, families, &clerking);
	if (r < 0) {
		log_error("the worker cannot start: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	ledger->keeper->worker_started = clock_monotonic();
	atomic_store(&ledger->keeper->worker_state, WORKER_READY);
	wake_keeper(ledger);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	if (getpid() == ledger->keeper_pid)
		sigaddset(&stop, SIGINT);
	while (sigwait(&stop, &number))
		;
	worker_stop(&worker);
	control_free(clerking.control);
	health_free(clerking.health);
	on_down_free(clerking.on_down);
	resolver_free(clerking.resolver);
	atomic_store(&ledger->keeper->worker_state, WORKER_STOPPED);
	return EXIT_SUCCESS;
}

/* If memory runs out, the worker should be killed, which has an heir, and not the keeper:
 * proc(5), oom_score_adj. Raising it takes no privilege; if that fails, the kernel chooses by
 * size. */
static void be_the_first_to_die(void)
{
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC), score;
	char text[16] = "";

	if (fd < 0)
		return;
	if (read(fd, text, sizeof text - 1) > 0) {
		score = atoi(text) + OOM_SCORE_STEP;
		snprintf(text, sizeof text, "%d", score < OOM_SCORE_MAX ? score : OOM_SCORE_MAX);
		if (pwrite(fd, text, strlen(text), 0) < 0)
			log_debug("the worker keeps the keeper's oom_score_adj: %s",
				  strerror(errno));
	}
	close(fd);
}

pid_t heir_start(struct ledger *ledger, struct generation *generations,
		 const struct families *families, bool planned)
{
	pid_t keeper = getpid(), pid;

	atomic_store(&ledger->keeper->adoption.hand, HAND_EMPTY);
	atomic_store(&ledger->keeper->adoption.callback, 0);
	original_note(ledger);
	atomic_store(&ledger->keeper->worker_state, WORKER_SWEEPING);
	files_note();
	sandbox_prepare(generations);
	pid = clone_sharing_files();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		atomic_store(&ledger->keeper->worker_pid, pid);
		return pid;
	}
	original_leave(ledger);
	/* The worker ends with its keeper, however that ends. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != keeper)
		_exit(EXIT_FAILURE);
	prctl(PR_SET_NAME, "spliced-worker");
	be_the_first_to_die();
	atomic_store(&ledger->keeper->worker_pid, getpid());
	privilege_limit(generations);
	_exit(heir_run(ledger, generations, families, planned));
}
