/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Units of systemd that targets name, by the unit's name, whatever routes they are of: what is
 * known of each, and which of them we have started.
 *
 *          asked, and started             seen to run
 *   REST ---------------------> STARTING ------------> RUNNING
 *    ^  ^                          |  ^                   |
 *    |  +--- a while later ---- REFUSED                   | no session for idle_stop
 *    |                                                    v
 *    +----------------- seen to be down ------------ STOPPING
 *
 * Threads of the worker ask (`asked`), and note use; they learn by asking that a unit has ended.
 * The keeper writes everything else; its helper also writes `owner`, before and after each request
 * to systemd: if one dies meanwhile, at most one unit too many is taken for another's.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ledger;

enum { LEDGER_UNITS_MAX = 512, LEDGER_UNIT_NAME_MAX = 256 };

enum unit_state {
	UNIT_REST, /* nothing is known of it, or it is not running */
	UNIT_STARTING,
	UNIT_RUNNING,
	UNIT_STOPPING, /* no session connects until it is down */
	UNIT_REFUSED,  /* it cannot be started, or does not stay: `problem` */
};

/* Only what is ours is stopped. */
enum unit_owner {
	UNIT_OTHERS,
	UNIT_ASKED_FOR, /* systemd is being asked to start it, and it is not known yet whether we
			 * started it */
	UNIT_OURS,
	UNIT_LEFT, /* we asked systemd to stop it */
};

enum unit_problem {
	UNIT_PROBLEM_NONE,
	UNIT_PROBLEM_BUS,
	UNIT_PROBLEM_DENIED,
	UNIT_PROBLEM_UNKNOWN,
	UNIT_PROBLEM_MASKED,
	UNIT_PROBLEM_ENDED,
	UNIT_PROBLEM_SILENT,
	UNIT_PROBLEM_OTHER,
	UNIT_PROBLEMS
};

/* Times are CLOCK_MONOTONIC ns. */
struct ledger_unit {
	_Atomic uint32_t used;
	_Atomic uint32_t state;	  /* enum unit_state */
	_Atomic uint32_t owner;	  /* enum unit_owner */
	_Atomic uint32_t problem; /* enum unit_problem, of the last try to start, or to stop, it */
	_Atomic uint32_t asked, answered; /* a session asks where they are equal */
	_Atomic uint64_t ready_by;	  /* it is starting until then: a session that finds the
					   * target absent waits */
	_Atomic uint64_t seen_at;	  /* RUNNING: when systemd last reported it */
	_Atomic uint64_t started_at;	  /* by us */
	_Atomic uint64_t used_at;	  /* a session chose it, or was seen */
	_Atomic uint64_t idle_stop;	  /* 0: it is not stopped */
	_Atomic uint64_t starts, stops;
	uint64_t digest;
	char name[LEDGER_UNIT_NAME_MAX];
};

/* The record with this name, made where there is none; -ENOSPC. */
int ledger_unit_slot(struct ledger *ledger, const char *name);

/* Gives back the records whose flag in `keep` is not set, but for those that are ours still. */
void ledger_units_retain(struct ledger *ledger, const bool *keep);

/* A word for a state, and what is wrong, with the remedy; "" where nothing is. */
const char *unit_state_name(uint32_t state);
const char *unit_problem_text(uint32_t problem);

/* A ledger that another process has written: impossible numbers are corrected. Returns how many. */
uint32_t unit_validate(struct ledger *ledger, uint64_t now);
