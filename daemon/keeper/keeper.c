/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keeper. Every descriptor that it keeps is opened before the first worker, or recorded at
 * once, because each heir closes unrecorded descriptors; and it opens none while an heir sweeps. It
 * never waits for a worker that hangs: one that does not stop in time is killed, which loses
 * nothing.
 */
#include "keeper/keeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "control/status.h"
#include "dispatch/session_log.h"
#include "keeper/backoff.h"
#include "keeper/binding.h"
#include "keeper/blame.h"
#include "keeper/death.h"
#include "keeper/errand.h"
#include "keeper/files.h"
#include "keeper/handover.h"
#include "keeper/heartbeat.h"
#include "keeper/heir.h"
#include "keeper/listener_set.h"
#include "keeper/prepare.h"
#include "keeper/reuseport.h"
#include "keeper/service.h"
#include "keeper/sidecar.h"
#include "keeper/start.h"
#include "keeper/state.h"
#include "keeper/unit.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/original.h"
#include "ledger/renewal.h"
#include "ledger/validate.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	TICK_MS = 1000,
	RETRY_MS = 250, /* of a start that the system refuses */
	FAREWELL_SECONDS = 3,
};

/* While an heir sweeps, every descriptor that is not recorded yet is an orphan to it: loading
 * plugins and opening sockets have to wait. */
static bool may_open(const struct keeper *keeper)
{
	return !keeper->worker || keeper->ledger->keeper->worker_state != WORKER_SWEEPING;
}

static void start_worker(struct keeper *keeper, enum ledger_start reason, bool planned)
{
	struct ledger_keeper *record = keeper->ledger->keeper;
	pid_t pid;

	heartbeat_forget();
	keeper->hung = false;
	record->struck = 0;
	keeper->reason = reason;
	pid = heir_start(keeper->ledger, keeper->start->generations, &keeper->start->families,
			 planned);
	if (pid < 0) {
		if (!keeper->refused)
			log_error("cannot start a worker: %s; trying again", strerror(-pid));
		keeper->refused = true;
		keeper->state = KEEPER_WAITING;
		keeper->deadline = clock_monotonic() + RETRY_MS * NSEC_PER_MSEC;
		return;
	}
	keeper->refused = false;
	atomic_fetch_add(&record->starts[reason], 1);
	original_note_words(keeper->ledger, &record->starts[reason], sizeof *record->starts);
	keeper->worker = pid;
	keeper->born = clock_monotonic();
	keeper->state = KEEPER_RUNNING;
}

/* Deaths. */

/* A callback may have called exit(3) meanwhile. */
static bool was_planned(const struct keeper *keeper, int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS &&
	       keeper->state != KEEPER_RUNNING &&
	       keeper->ledger->keeper->worker_state == WORKER_STOPPED;
}

/* Finds the route to blame. How long to wait before the next start, in ms. */
static uint64_t judge_death(struct keeper *keeper, int status)
{
	death_note(keeper->ledger, keeper->worker, status, keeper->hung);
	if (death_was_struck(keeper->ledger, status, keeper->hung) ||
	    blame_hands(keeper->ledger, keeper->start->generations, &keeper->start->families,
			keeper->hung))
		return 0;
	return backoff_next(&keeper->backoff, clock_monotonic() - keeper->born);
}

static void worker_ended(struct keeper *keeper, int status)
{
	bool planned = was_planned(keeper, status);
	enum ledger_start reason = keeper->hung ? START_HANG : START_CRASH;
	uint64_t wait;

	/* No other process writes now. */
	renewal_finish(keeper->ledger);
	original_restore_all(keeper->ledger);
	wait = planned ? 0 : judge_death(keeper, status);
	keeper->worker = 0;
	atomic_store(&keeper->ledger->keeper->worker_pid, 0);
	if (keeper->state == KEEPER_ENDING)
		return;
	if (keeper->prepared || keeper->come)
		reason = START_RELOAD;
	reload_settle(keeper);
	if (keeper->upgrade.leaving && planned) {
		unit_leave();
		upgrade_become_new(keeper);
	}
	if (!wait) {
		start_worker(keeper, reason, planned);
		return;
	}
	keeper->state = KEEPER_WAITING;
	keeper->reason = reason;
	keeper->deadline = clock_monotonic() + wait * NSEC_PER_MSEC;
}

static void check_hearts(struct keeper *keeper)
{
	if (keeper->state != KEEPER_RUNNING || keeper->hung)
		return;
	keeper->hung = heartbeat_check(keeper->ledger);
	if (keeper->hung)
		kill(keeper->worker, SIGKILL);
}

/* While the keeper itself waits, the watchdog must not trip. */
static bool is_alive(const struct keeper *keeper)
{
	return keeper->state != KEEPER_RUNNING || heartbeat_is_regular(keeper->ledger);
}

static void reap(struct keeper *keeper)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == keeper->worker) {
			worker_ended(keeper, status);
		} else if (pid == keeper->prepare.pid) {
			keeper->checked = true;
			keeper->check_status = status;
		} else if (!errand_ended(keeper->ledger, pid) &&
			   !unit_helper_ended(keeper->ledger, pid, status)) {
			sidecar_ended(pid);
		}
	}
}

static void handle_signals(struct keeper *keeper)
{
	struct signalfd_siginfo info;

	while (read(keeper->start->signal_fd, &info, sizeof info) == sizeof info)
		switch (info.ssi_signo) {
		case SIGCHLD:
			break; /* reaped at every turn */
		case SIGHUP:
			keeper->wanted = true;
			break;
		case SIGUSR2:
			keeper->upgrade.wanted = true;
			break;
		case SIGUSR1:
			status_log(keeper->ledger, keeper->start->generations);
			break;
		case SIGTERM:
		case SIGINT:
			service_stopping();
			if (keeper->worker)
				keeper_stop_worker(keeper, KEEPER_ENDING);
			keeper->state = KEEPER_ENDING;
			break;
		}
}

/* A child that checks has these sockets open, too, until it has closed what it does not need. */
static void close_left(const struct keeper *keeper)
{
	if (may_open(keeper) && !keeper->prepare.pid && !errand_is_under_way())
		reuseport_close(keeper->ledger);
}

static void handle_worker_news(struct keeper *keeper)
{
	uint64_t count;

	if (read(keeper->ledger->keeper_wake, &count, sizeof count) < 0)
		return;
	close_left(keeper);
	if (keeper->ledger->keeper->worker_state != WORKER_READY)
		return;
	reload_answer_if_due(keeper);
	/* After a takeover the reload that follows reports it. */
	if (!service_is_ready() && !keeper->renew)
		service_ready(keeper->ledger, keeper->start->generations);
}

static bool upgrade_is_asked(const struct keeper *keeper)
{
	const struct ledger_keeper *record = keeper->ledger->keeper;

	return keeper->upgrade.wanted || (atomic_load(&record->upgrade_asked) &&
					  atomic_load(&record->reload_asked) > keeper->asked);
}

/* What validation found at the last adoption. */
static void tell_validation(struct keeper *keeper)
{
	validate_log(keeper->ledger, &keeper->told);
	keeper->told = validate_sums(keeper->ledger);
}

/* Nothing else is under way. */
static bool is_free(const struct keeper *keeper)
{
	return !keeper->prepare.pid && !errand_is_under_way() && !keeper->answer_due &&
	       keeper->ledger->keeper->worker_state == WORKER_READY;
}

static void tick(struct keeper *keeper)
{
	struct generation *newest = keeper->start->generations;

	check_hearts(keeper);
	tell_validation(keeper);
	close_left(keeper);
	service_tick(keeper->ledger, newest, is_alive(keeper));
	/* What the worker inherited of it is the worker's own. One that is being opened has its
	 * slots already, and is not in the list yet. */
	if (newest->next && !keeper->prepared && !keeper->opening)
		generations_trim(newest, keeper->ledger);
	if (!may_open(keeper) || keeper->state != KEEPER_RUNNING || keeper->prepared ||
	    keeper->prepare.pid || errand_is_under_way())
		return;
	sidecar_tick(keeper->ledger, newest);
	if (bindings_check(keeper->ledger, newest) || ++keeper->ticks % ABSENCE_TICKS == 0)
		reload_try_listeners(keeper);
	if (keeper->ticks % ABSENCE_TICKS == 0 && is_free(keeper)) {
		reload_look_for_names(keeper);
		reload_look_for_file(keeper);
	}
}

static void act(struct keeper *keeper)
{
	uint64_t now = clock_monotonic();

	if (now >= keeper->next_tick) {
		keeper->next_tick = now + TICK_MS * NSEC_PER_MSEC;
		tick(keeper);
	}
	if (keeper->state == KEEPER_RUNNING && may_open(keeper))
		unit_turn(keeper->ledger, keeper->start->generations);
	if (keeper->checked && may_open(keeper) && keeper->state != KEEPER_ENDING) {
		keeper->checked = false;
		if (keeper->upgrade.checking)
			upgrade_end_check(keeper, keeper->check_status);
		else
			reload_end_prepare(keeper, keeper->check_status);
	}
	if (keeper->prepare.pid && !keeper->checked && now >= keeper->prepare.deadline &&
	    !keeper->prepare.timed_out)
		prepare_expire(&keeper->prepare);
	if (!errand_is_under_way() && may_open(keeper) && keeper->state != KEEPER_ENDING)
		reload_end_errand(keeper);
	switch (keeper->state) {
	case KEEPER_RUNNING:
		if (keeper->prepared || (keeper->upgrade.leaving && is_free(keeper)))
			keeper_stop_worker(keeper, KEEPER_STOPPING);
		else if (upgrade_is_asked(keeper) && is_free(keeper))
			upgrade_begin(keeper);
		else if ((keeper->wanted ||
			  atomic_load(&keeper->ledger->keeper->reload_asked) > keeper->asked) &&
			 is_free(keeper))
			reload_begin(keeper);
		return;
	case KEEPER_WAITING:
		reload_settle(keeper);
		if (now >= keeper->deadline)
			start_worker(keeper, keeper->reason, false);
		return;
	case KEEPER_STOPPING:
	case KEEPER_ENDING:
		if (keeper->worker && now >= keeper->deadline)
			kill(keeper->worker, SIGKILL);
		return;
	}
}

static int poll_timeout(const struct keeper *keeper)
{
	uint64_t now = clock_monotonic(), next = keeper->next_tick;

	if (keeper->state != KEEPER_RUNNING && keeper->deadline < next)
		next = keeper->deadline;
	return next <= now ? 0 : (int)((next - now) / NSEC_PER_MSEC) + 1;
}

static void turn(struct keeper *keeper)
{
	struct pollfd fds[] = {
		{.fd = keeper->start->signal_fd, .events = POLLIN},
		{.fd = keeper->ledger->keeper_wake, .events = POLLIN},
		{.fd = may_open(keeper) ? errand_fd() : -1, .events = POLLIN},
	};

	poll(fds, 3, poll_timeout(keeper));
	/* Before the keeper itself writes into the ledger. Signals are only noted; a dead worker
	 * is found next, and may have written anywhere. */
	original_restore(keeper->ledger);
	if (fds[0].revents)
		handle_signals(keeper);
	reap(keeper);
	if (fds[1].revents)
		handle_worker_news(keeper);
	if (fds[2].revents && may_open(keeper))
		errand_receive(keeper->ledger);
	act(keeper);
}

/* By a child: it calls families. Its copies of the sockets hold back no FIN, because all of them
 * are reset. */
static void tell_of_sessions(struct start *start)
{
	uint64_t deadline = clock_monotonic() + FAREWELL_SECONDS * NSEC_PER_SEC;
	pid_t pid = ledger_sessions_high(&start->ledger) ? fork() : -1;

	if (!pid) {
		session_log_stop(&start->ledger, start->generations);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, WNOHANG) == 0) {
		if (clock_monotonic() > deadline)
			kill(pid, SIGKILL);
		poll(NULL, 0, 2);
	}
}

static int run_single(struct start *start)
{
	int r = heir_run(&start->ledger, start->generations, &start->families, true);

	tell_of_sessions(start);
	handover_abandon(&start->ledger, start->generations);
	return r;
}

/* With the one that is not committed yet. */
static struct generation *newest_of(const struct keeper *keeper)
{
	if (keeper->prepared)
		return keeper->prepared;
	return keeper->opening ? keeper->opening : keeper->start->generations;
}

/* What was not committed is taken back. */
static void end_listeners(struct keeper *keeper)
{
	struct generation *generation = newest_of(keeper);
	struct report ignored = {0};

	errand_stop(keeper->ledger);
	if (keeper->opening)
		listener_set_prepared(keeper->ledger, keeper->opening, &ignored);
	report_done(&ignored);
	errand_wait(keeper->ledger);
	listener_set_cancel(keeper->ledger, generation);
	errand_wait(keeper->ledger);
	if (generation != keeper->start->generations)
		generation_free(generation, keeper->ledger);
}

static int run_kept(struct start *start)
{
	struct keeper keeper = {.start = start, .ledger = &start->ledger};

	service_init(keeper.ledger);
	if (original_new(keeper.ledger) < 0)
		log_warning(
			"no memory for a copy of the ledger: what a worker writes into it by mistake cannot be detected");
	keeper.told = validate_sums(keeper.ledger);
	if (start->took_over) {
		/* A request that came with the ledger is answered by the reload that follows. */
		keeper.asked = keeper.ledger->keeper->reload_answered;
		keeper.wanted = keeper.took_over = keeper.renew = true;
	}
	start_worker(&keeper, start->took_over ? START_UPGRADE : START_FIRST, true);
	while (keeper.state != KEEPER_ENDING || keeper.worker)
		turn(&keeper);
	if (keeper.prepare.pid && !keeper.checked)
		kill(keeper.prepare.pid, SIGKILL);
	validate_ledger(keeper.ledger, newest_of(&keeper));
	end_listeners(&keeper);
	sidecar_stop();
	unit_leave();
	start->handed_over = handover_is_understood(keeper.ledger, start) &&
			     handover_send(keeper.ledger, start->generations);
	if (!start->handed_over) {
		tell_of_sessions(start);
		handover_abandon(keeper.ledger, start->generations);
	}
	return EX_OK;
}

int keeper_run(const struct keeper_options *options)
{
	static struct start start;
	int r = start_up(&start, options);

	if (r != EX_OK)
		return r;
	log_notice("spliced %s is running with %s: %u route%s, %u thread%s, up to %u sessions",
		   PACKAGE_VERSION, start.path, start.generations->config->n_routes,
		   start.generations->config->n_routes == 1 ? "" : "s", start.ledger.n_threads,
		   start.ledger.n_threads == 1 ? "" : "s", start.ledger.n_sessions);
	r = options->single ? run_single(&start) : run_kept(&start);
	if (!start.handed_over) {
		listener_set_end(&start.ledger, start.generations);
		start_end(&start);
	}
	log_notice("stopped");
	return r;
}
