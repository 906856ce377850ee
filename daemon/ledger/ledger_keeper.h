/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper's section of the ledger (ledger.h): one record, of the state of the daemon and its
 * workers. */
#pragma once

#include "base/log.h"
#include "net/passed.h"

#include <stdatomic.h>
#include <stdint.h>

enum {
	LEDGER_KEEPER_FDS = 64,
	LEDGER_NAME_MAX = 128, /* of names that are for people */
};

/* Why a worker was started. */
enum ledger_start {
	START_FIRST,
	START_CRASH,
	START_HANG,
	START_RELOAD,
	START_UPGRADE,
	START_REASONS
};

/* State of a worker; the keeper opens no descriptor while one sweeps. */
enum ledger_worker_state { WORKER_NONE, WORKER_SWEEPING, WORKER_READY, WORKER_STOPPED };

/* NONE: no worker of this release has started yet. */
enum ledger_wall { WALL_NONE, WALL_STANDS, WALL_OFF, WALL_SINGLE, WALL_NOT_BUILT, WALL_PROCESS };

struct ledger_keeper {
	uint64_t started_at; /* CLOCK_REALTIME */
	uint64_t started;
	_Atomic int32_t keeper_pid, worker_pid;
	_Atomic uint32_t worker_state; /* enum ledger_worker_state */
	uint32_t threads;	       /* that carry traffic */
	uint64_t worker_started;
	_Atomic uint32_t struck; /* a fatal signal was sent to the worker by another process: it is
				    not to blame */
	_Atomic uint64_t starts[8]; /* enum ledger_start */
	_Atomic int log_level;
	/* descriptors that are the keeper's own: a sweep leaves them alone. -1: free */
	int32_t fds[LEDGER_KEEPER_FDS];
	int32_t keeper_wake, clerk_wake; /* eventfd(2), made before the first worker */
	int32_t control_fd;		 /* the control socket's listening descriptor, or -1 */
	/* the last worker that ended unasked */
	uint64_t last_death_at; /* CLOCK_REALTIME, 0: none */
	char last_death[LEDGER_NAME_MAX];
	/* reload: the clerk asks by raising `asked` and waking the keeper; the keeper answers by
	 * `answered` */
	_Atomic uint64_t reload_asked, reload_answered;
	uint32_t generation; /* that runs */
	uint32_t reload_ok, reload_changed;
	uint64_t reload_at; /* CLOCK_REALTIME, 0: never */
	_Atomic uint64_t reloads_ok, reloads_failed;
	/* the audit, and adoption */
	_Atomic uint64_t adopted_total, audit_failures, orphans_adopted, orphans_closed;
	uint32_t adopted_last, audit_broken;
	uint64_t adopt_ns_last, adopt_ns_max;
	_Atomic uint64_t sessions_total;
	_Atomic uint32_t sessions_active;
	_Atomic uint32_t sessions_high, listeners_high; /* records from here on were never used */
	uint64_t file_digest;				/* of the configuration that runs */
	char config_path[512];
	char control_path[128];
	_Atomic uint32_t upgrade_asked; /* beside a reload */
	uint32_t reserved;
	struct {
		char name[PASSED_NAME_MAX]; /* empty: none */
		int32_t fd;
	} passed[PASSED_MAX];			    /* sockets from the service manager */
	_Atomic uint32_t routes_high, targets_high; /* records from here on were never used */
	struct log_losses log_losses;
	/* a session that moves to another generation (renewal.h): the new contents of its record */
	struct {
		_Atomic uint32_t slot; /* plus one; 0: none */
		uint32_t generation, route, endpoint, target;
	} renewal;
	uint32_t places; /* for sessions: what max_sessions and the descriptors allow
			    (dispatch/share.h) */
	/* what an heir looks at before its threads have hands of their own, and which callback runs
	 * meanwhile; empty when it has adopted */
	struct {
		_Atomic uint64_t hand; /* as a thread's */
		_Atomic uint32_t callback;
		uint32_t reserved;
	} adoption;
	/* records that did not fit, and were freed; corrected words */
	_Atomic uint64_t dropped_sessions, dropped_listeners, dropped_controls, mended;
	_Atomic int32_t wall_calls,
		wall_files; /* around the worker (keeper/sandbox.h): enum ledger_wall, or the
			       negative errno of what refused it */
	char unread[512];   /* a file of X.conf.d that could not be read, and was left out until it
			       can; empty: none */
	_Atomic uint32_t
		kept_turn; /* of the places for first messages: where the next is looked for */
	uint32_t kept_reserved;
};
