/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper's state, and its steps from one configuration, or program, to the next: shared by
 * keeper.c and reload.c. */
#pragma once

#include "base/report.h"
#include "keeper/backoff.h"
#include "keeper/prepare.h"
#include "ledger/ledger.h"
#include "ledger/validate.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct generation;
struct start;

enum { ABSENCE_TICKS = 5 /* between two looks for a family, or a device, that was not there */ };

enum keeper_state { KEEPER_RUNNING, KEEPER_STOPPING, KEEPER_WAITING, KEEPER_ENDING };

struct keeper {
	struct start *start;
	struct ledger *ledger;
	enum keeper_state state;
	pid_t worker;
	enum ledger_start reason; /* why the worker that runs, or is about to, was started */
	uint64_t deadline;	  /* STOPPING, ENDING: of the stop; WAITING: of the back-off */
	uint64_t born;		  /* CLOCK_MONOTONIC ns, the worker */
	struct backoff backoff;
	bool hung;	/* we killed it for that */
	bool refused;	/* the system refuses to start one, which has been logged */
	bool wanted;	/* a reload was asked for by SIGHUP */
	bool took_over; /* the next reload is that of another program's successor */
	bool own_idea;	/* the reload that is under way was not requested */
	struct prepare prepare;
	bool checked; /* its child has ended, with */
	int check_status;
	struct {
		bool wanted;   /* by SIGUSR2 */
		bool checking; /* what is being prepared is the new program's check */
		bool leaving;  /* all is well: the next worker is the new program's */
	} upgrade;
	bool lenient; /* the next reload waits for what is not there yet, as a start does */
	bool naming;  /* what is being prepared is the generation that runs, if names are known now
			 that were not */
	bool renew;   /* the next reload looks at each listener, though the configuration may be the
			 same */
	struct generation *opening; /* its listeners are being opened, by an errand */
	bool refusing; /* when the errand that is under way has taken back what was prepared, the
			  answer is */
	struct report refusal;
	bool trying;		     /* the errand that is under way tries those that waited */
	struct generation *prepared; /* good, and waiting for the old worker to stop */
	uint64_t asked;		     /* the newest reload request that the one under way answers */
	bool answer_due;	     /* ... when the heir is ready */
	bool come; /* listeners that waited are PENDING, until the old worker has stopped */
	uint64_t next_tick;
	unsigned ticks;
	struct validation told; /* of impossible values found in the ledger */
};

/* Asks the worker to stop, for what the new state says; one that does not in time is killed. */
void keeper_stop_worker(struct keeper *keeper, enum keeper_state state);

/* Reports the result of a reload, or an upgrade, to its requester. */
void reload_answer(struct keeper *keeper, bool ok, bool changed, const struct report *report);

void reload_answer_if_due(struct keeper *keeper);

/* The steps of a reload: a child reads the file; it has ended; the errand that opened listeners, or
 * tried some, or took them back, is over. */
void reload_begin(struct keeper *keeper);
void reload_end_prepare(struct keeper *keeper, int status);
void reload_end_errand(struct keeper *keeper);

/* A child looks whether users and groups of rules, and hosts of listeners, are known now; if so, a
 * reload comes of it. */
void reload_look_for_names(struct keeper *keeper);

/* Whether a file that was left out can be read now; if so, the configuration is read again. */
void reload_look_for_file(struct keeper *keeper);

/* No worker runs: performs what was waiting for that. */
void reload_settle(struct keeper *keeper);

/* Tries listeners that wait for a family, or a device, or have lost their place; and looks whether
 * a file has taken the place of one that the worker may read. */
void reload_try_listeners(struct keeper *keeper);

/* The steps of an upgrade: a child checks the program's file; it has ended; no worker runs, and
 * we become it, or continue. */
void upgrade_begin(struct keeper *keeper);
void upgrade_end_check(struct keeper *keeper, int status);
void upgrade_become_new(struct keeper *keeper);
