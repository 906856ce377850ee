/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/target_check.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/health.h"

#include <stdio.h>
#include <string.h>

static void tell(enum log_event event, int level, const struct ledger_target *target,
		 const char *what, const char *why)
{
	struct log_entry entry = {.event = event};

	log_add_field(&entry, "TARGET", target->name);
	log_add_field(&entry, "ERROR", why);
	log_event(level, &entry, "target %s is %s: health check: %s", target->name, what, why);
}

static void enter(struct ledger_check *check, enum ledger_check_state state, uint64_t now)
{
	atomic_store(&check->since, now);
	atomic_store(&check->state, state);
}

static bool note_success(struct ledger_target *target, const struct config_health *health,
			 uint64_t now)
{
	struct ledger_check *check = &target->check;
	char why[64];

	atomic_store(&check->failed, 0);
	atomic_fetch_add(&check->succeeded, 1);
	if (check->state == CHECK_NEW)
		enter(check, CHECK_UP, now);
	if (check->state == CHECK_UP || check->succeeded < health->rise)
		return false;
	enter(check, CHECK_UP, now);
	atomic_store(&target->up_since, now);
	snprintf(why, sizeof why, "%u of %u succeeded", check->succeeded, health->rise);
	tell(EVENT_TARGET_UP, LOG_NOTICE, target, "up again", why);
	return true;
}

static bool note_failure(struct ledger_target *target, const struct config_health *health,
			 uint64_t now, const char *error)
{
	struct ledger_check *check = &target->check;

	atomic_store(&check->succeeded, 0);
	atomic_fetch_add(&check->failed, 1);
	atomic_fetch_add(&check->failures, 1);
	snprintf(check->error, sizeof check->error, "%s", error);
	if (check->state == CHECK_DOWN || check->failed < health->fall)
		return false;
	enter(check, CHECK_DOWN, now);
	atomic_fetch_add(&check->downs, 1);
	tell(EVENT_TARGET_DOWN, LOG_WARNING, target, "down", error);
	return true;
}

bool target_checked(struct ledger_target *target, const struct config_health *health, uint64_t now,
		    const char *error)
{
	atomic_store(&target->check.began_at, 0);
	atomic_store(&target->check.ended_at, now);
	atomic_fetch_add(&target->check.checks, 1);
	return error ? note_failure(target, health, now, error) : note_success(target, health, now);
}

void target_tell_check(const struct ledger_target *target, char *text, size_t size)
{
	uint64_t since = target->check.since, now = clock_monotonic();

	snprintf(text, size, "for %llu s: health check: %s",
		 (unsigned long long)(since && since < now ? (now - since) / NSEC_PER_SEC : 0),
		 target->check.error);
}

bool target_check_anew(struct ledger_target *target, uint64_t digest)
{
	bool was_down = target_is_checked_down(target);

	memset(&target->check, 0, sizeof target->check);
	target->check.digest = digest;
	return was_down;
}
