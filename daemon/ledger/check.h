/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The health check of a target, in its record: its results so far. Only the clerk writes it; an
 * heir continues from there, and restarts a check that was under way.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

enum { LEDGER_CHECK_TEXT_MAX = 120 };

/* NEW: neither `fall` checks have failed yet, nor one succeeded. */
enum ledger_check_state { CHECK_NEW, CHECK_UP, CHECK_DOWN };

struct ledger_check {
	uint64_t digest;	/* of what is checked, and how (config/health.h); 0: nothing */
	_Atomic uint32_t state; /* enum ledger_check_state */
	_Atomic uint32_t fd;	/* its socket, plus one, if this target makes the check; 0: none */
	_Atomic uint32_t succeeded; /* in a row */
	_Atomic uint32_t failed;    /* in a row */
	_Atomic uint64_t checks, failures;
	_Atomic uint64_t since;	   /* of the state, CLOCK_MONOTONIC ns; NEW: 0 */
	_Atomic uint64_t ended_at; /* the newest check, CLOCK_MONOTONIC ns; 0: none */
	_Atomic uint64_t began_at; /* the one under way, CLOCK_MONOTONIC ns; 0: none */
	_Atomic uint64_t downs;
	char error[LEDGER_CHECK_TEXT_MAX]; /* why the newest that failed did */
};
