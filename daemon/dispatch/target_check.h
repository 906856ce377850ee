/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Health checks of a target; target.h has what its sessions found. */
#pragma once

#include "config/config.h"
#include "ledger/ledger.h"

#include <stdbool.h>
#include <stdint.h>

struct config_health;

/* Whether its checks have marked it down. */
static inline bool target_is_checked_down(const struct ledger_target *target)
{
	return atomic_load_explicit(&target->check.state, memory_order_relaxed) == CHECK_DOWN;
}

/* ... so that they ask it, and no session does: a target that is alone is always tried. */
static inline bool target_is_left_to_checks(const struct ledger_target *target,
					    const struct config_member *member)
{
	return !member->alone && target_is_checked_down(target);
}

/* Since when it is down, by its checks or its sessions, whichever is later: CLOCK_MONOTONIC ns; 0:
 * it is not. */
static inline uint64_t target_down_since(const struct ledger_target *target)
{
	uint64_t by_checks = target_is_checked_down(target) ? target->check.since : 0,
		 by_sessions = target->down_since;

	return by_checks > by_sessions ? by_checks : by_sessions;
}

/* A check has ended; error: why it failed, NULL: it did not. What is news is logged. True: the
 * target went down, or came up. */
bool target_checked(struct ledger_target *target, const struct config_health *health, uint64_t now,
		    const char *error);

/* What is to be known of one that is down: "for 12 s: health check: HTTP status 503, expected 200",
 * into text. */
void target_tell_check(const struct ledger_target *target, char *text, size_t size);

/* It is checked no more, or from now on as the digest says. True: it was down. */
bool target_check_anew(struct ledger_target *target, uint64_t digest);
