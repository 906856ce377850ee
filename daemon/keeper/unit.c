/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Units on demand. The ledger has what sessions ask for, and what was started; the name for systemd
 * comes from the keeper's own memory, because a worker with corrupted memory may have written
 * anywhere. Always true: one helper a unit. Before a unit is stopped its state is set, and then its
 * use is checked once more: a session notes use before it looks at the state, so that one of the
 * two sees the other.
 */
#include "keeper/unit.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "config/unit.h"
#include "keeper/child.h"
#include "keeper/systemd.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	HELPERS_MAX = 16,
	HELPER_SECONDS = 15, /* and it is ended by SIGALRM */
	TICK_MS = 1000,
	PAUSE_MS = 1000,	 /* between two looks at a unit that starts */
	STOP_PAUSE_MS = 250,	 /* ... that stops */
	REFUSED_PAUSE_MS = 3000, /* ... that cannot be started */
	READY_SECONDS = 10,	 /* after it was seen to start */
};

static struct known {
	uint64_t digest;
	char name[LEDGER_UNIT_NAME_MAX];
	uint64_t next;	/* no helper before then, CLOCK_MONOTONIC ns */
	uint32_t told;	/* enum unit_problem, that was logged last */
	pid_t helper;	/* 0: none */
	uint32_t asked; /* what it answers */
	bool stops;	/* it is to stop it */
} known[LEDGER_UNITS_MAX];

static struct {
	bool begun;
	uint32_t generation;
	uint64_t next_tick;
	unsigned helpers;
} units;

/* ---- settings ---- */

static void learn_name(struct ledger *ledger, uint32_t slot, const char *name)
{
	if (known[slot].digest == ledger->units[slot].digest && *known[slot].name)
		return;
	known[slot] = (struct known){.digest = ledger->units[slot].digest};
	strncpy(known[slot].name, name, sizeof known[slot].name - 1);
}

/* Of several targets the longest counts; "never" is longer than any. */
static void learn_target(struct ledger *ledger, uint32_t slot,
			 const struct config_endpoint *endpoint, bool *named)
{
	uint64_t idle = ledger->units[slot].idle_stop;

	learn_name(ledger, slot, endpoint->unit);
	if (!named[slot])
		ledger->units[slot].idle_stop = endpoint->idle_stop;
	else if (idle && (!endpoint->idle_stop || endpoint->idle_stop > idle))
		ledger->units[slot].idle_stop = endpoint->idle_stop;
	named[slot] = true;
}

/* One that no target names any more keeps its last settings. */
static void learn(struct ledger *ledger, const struct generation *newest)
{
	bool named[LEDGER_UNITS_MAX] = {false};

	for (int i = 0; i < LEDGER_UNITS_MAX && !units.begun; i++)
		if (ledger->units[i].used && unit_name_is_valid(ledger->units[i].name))
			learn_name(ledger, (uint32_t)i, ledger->units[i].name);
	units.begun = true;
	units.generation = newest->number;
	for (unsigned i = 0; i < newest->config->n_routes; i++) {
		const struct config_route *route = &newest->config->routes[i];

		for (unsigned k = 0; k < route->n_targets; k++) {
			const struct ledger_unit *unit = generation_unit(newest, ledger, i, k);

			if (unit && route->enabled)
				learn_target(ledger, (uint32_t)(unit - ledger->units),
					     &route->targets[k], named);
		}
	}
}

/* ---- helpers ---- */

static void help(struct ledger *ledger, uint32_t slot, bool stops)
{
	struct ledger_unit *record = &ledger->units[slot];
	uint32_t asked = record->asked;
	pid_t pid;

	if (units.helpers >= HELPERS_MAX || !*known[slot].name)
		return;
	pid = fork();
	if (pid == 0) {
		child_begin(NULL, 0);
		alarm(HELPER_SECONDS);
		_exit(stops ? systemd_stop(record, known[slot].name)
			    : systemd_start(record, known[slot].name));
	}
	known[slot].next = clock_monotonic() + PAUSE_MS * NSEC_PER_MSEC;
	if (pid < 0)
		return;
	known[slot].helper = pid;
	known[slot].asked = asked;
	known[slot].stops = stops;
	units.helpers++;
}

static void refuse(struct ledger_unit *record, struct known *unit, uint32_t problem)
{
	record->problem = problem;
	if (unit->told == problem)
		return;
	unit->told = problem;
	log_error("unit %s cannot be %s: %s", unit->name, unit->stops ? "stopped" : "started",
		  unit_problem_text(problem));
}

static void came_up(struct ledger_unit *record, struct known *unit, int outcome, uint64_t now)
{
	record->problem = unit->told = UNIT_PROBLEM_NONE;
	record->seen_at = now;
	if (outcome != SYSTEMD_RUNS)
		record->ready_by = now + READY_SECONDS * NSEC_PER_SEC;
	record->state = outcome == SYSTEMD_RUNS ? UNIT_RUNNING : UNIT_STARTING;
	if (outcome == SYSTEMD_STARTED)
		log_notice("unit %s is being started: a client waits for it", unit->name);
}

static void end_start(struct ledger_unit *record, struct known *unit, int outcome, uint64_t now)
{
	if (outcome >= SYSTEMD_PROBLEM) {
		record->ready_by = 0;
		record->state = UNIT_REFUSED;
		unit->next = now + REFUSED_PAUSE_MS * NSEC_PER_MSEC;
		refuse(record, unit, (uint32_t)outcome - SYSTEMD_PROBLEM);
	} else {
		came_up(record, unit, outcome, now);
	}
	record->answered = unit->asked;
}

static void end_stop(struct ledger_unit *record, struct known *unit, int outcome, uint64_t now)
{
	unit->next = now + STOP_PAUSE_MS * NSEC_PER_MSEC;
	if (outcome == SYSTEMD_STOPS)
		return;
	if (outcome >= SYSTEMD_PROBLEM) {
		record->used_at = now; /* which is as long until the next try */
		record->owner = UNIT_OURS;
		refuse(record, unit, (uint32_t)outcome - SYSTEMD_PROBLEM);
	} else {
		record->owner = UNIT_OTHERS;
	}
	if (outcome != SYSTEMD_DOWN) {
		record->state = UNIT_RUNNING;
		return;
	}
	unit->next = 0;
	record->problem = unit->told = UNIT_PROBLEM_NONE;
	record->ready_by = 0;
	atomic_fetch_add(&record->stops, 1);
	record->state = UNIT_REST;
	log_notice("unit %s is stopped: it had no session for %llu s", unit->name,
		   (unsigned long long)(record->idle_stop / NSEC_PER_SEC));
}

static int outcome_of(int status)
{
	int outcome = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (outcome >= 0 && outcome < SYSTEMD_PROBLEM + UNIT_PROBLEMS)
		return outcome;
	return SYSTEMD_PROBLEM + (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM
					  ? UNIT_PROBLEM_SILENT
					  : UNIT_PROBLEM_OTHER);
}

bool unit_helper_ended(struct ledger *ledger, pid_t pid, int status)
{
	for (int i = 0; i < LEDGER_UNITS_MAX; i++) {
		if (known[i].helper != pid)
			continue;
		known[i].helper = 0;
		units.helpers--;
		if (known[i].stops)
			end_stop(&ledger->units[i], &known[i], outcome_of(status),
				 clock_monotonic());
		else
			end_start(&ledger->units[i], &known[i], outcome_of(status),
				  clock_monotonic());
		return true;
	}
	return false;
}

/* ---- use ---- */

static bool may_be_stopped(const struct ledger_unit *record)
{
	return record->used && record->owner == UNIT_OURS && record->idle_stop;
}

static void note_use(struct ledger *ledger, struct generation *generations)
{
	uint64_t now = clock_monotonic();

	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++) {
		const volatile struct ledger_session *record = &ledger->sessions[i];
		uint32_t state = record->state, route = record->route, target = record->target;
		const struct generation *generation;
		struct ledger_unit *unit;

		if (state != SESSION_CONNECTING && state != SESSION_RELAYING)
			continue;
		generation = generation_find(generations, record->generation);
		if (!generation || route >= generation->config->n_routes ||
		    target >= generation->config->routes[route].n_targets)
			continue;
		unit = generation_unit(generation, ledger, route, target);
		if (unit)
			unit->used_at = now;
	}
}

static bool is_idle(const struct ledger_unit *record)
{
	uint64_t since = record->used_at;

	if (since < record->started_at)
		since = record->started_at;
	return record->asked == record->answered && clock_monotonic() >= since + record->idle_stop;
}

static void stop_idle(struct ledger *ledger, struct generation *generations)
{
	for (int i = 0; i < LEDGER_UNITS_MAX; i++) {
		struct ledger_unit *record = &ledger->units[i];
		uint32_t state = record->state;

		if (!may_be_stopped(record) || known[i].helper || state == UNIT_STOPPING ||
		    !is_idle(record) ||
		    !atomic_compare_exchange_strong(&record->state, &state, UNIT_STOPPING))
			continue;
		note_use(ledger, generations);
		if (!is_idle(record))
			record->state = state;
		else
			known[i].next = 0;
	}
}

static void tick(struct ledger *ledger, struct generation *newest)
{
	bool any = false;

	if (!units.begun || units.generation != newest->number)
		learn(ledger, newest);
	for (int i = 0; i < LEDGER_UNITS_MAX && !any; i++)
		any = may_be_stopped(&ledger->units[i]);
	if (!any)
		return;
	note_use(ledger, newest);
	stop_idle(ledger, newest);
}

void unit_turn(struct ledger *ledger, struct generation *newest)
{
	uint64_t now = clock_monotonic();

	if (now >= units.next_tick || units.generation != newest->number) {
		units.next_tick = now + TICK_MS * NSEC_PER_MSEC;
		tick(ledger, newest);
	}
	for (uint32_t i = 0; i < LEDGER_UNITS_MAX; i++) {
		const struct ledger_unit *record = &ledger->units[i];

		if (!record->used || known[i].helper || known[i].next > now)
			continue;
		if (record->state == UNIT_STOPPING)
			help(ledger, i, true);
		else if (record->asked != record->answered)
			help(ledger, i, false);
	}
}

void unit_leave(void)
{
	for (int i = 0; i < LEDGER_UNITS_MAX; i++) {
		if (!known[i].helper)
			continue;
		kill(known[i].helper, SIGKILL);
		while (waitpid(known[i].helper, NULL, 0) < 0 && errno == EINTR)
			;
		known[i].helper = 0;
	}
	units.helpers = 0;
}
