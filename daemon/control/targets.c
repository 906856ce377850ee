/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "control/targets.h"

#include "base/clock.h"
#include "config/health.h"
#include "control/words.h"
#include "ledger/check.h"
#include "ledger/ledger.h"

static const char *check_state(uint32_t state)
{
	switch ((enum ledger_check_state)state) {
	case CHECK_NEW:
		return "new";
	case CHECK_UP:
		return "up";
	case CHECK_DOWN:
		return "down";
	}
	return "?";
}

json_t *targets_check(const struct ledger_check *check, const struct config_health *health)
{
	uint64_t now = clock_monotonic();

	if (!check->digest || !health)
		return json_null();
	return json_pack("{s:s, s:f, s:f, s:I, s:I, s:i, s:i, s:I, s:f, s:o}", "state",
			 check_state(check->state), "interval",
			 (double)health->interval / NSEC_PER_SEC, "since",
			 check->since && check->since < now
				 ? (double)(now - check->since) / NSEC_PER_SEC
				 : 0.0,
			 "checks", (json_int_t)check->checks, "failures",
			 (json_int_t)check->failures, "succeeded", (int)check->succeeded, "failed",
			 (int)check->failed, "downs", (json_int_t)check->downs, "last",
			 check->ended_at && check->ended_at < now
				 ? (double)(now - check->ended_at) / NSEC_PER_SEC
				 : 0.0,
			 "error", words_json(*check->error ? check->error : NULL));
}

json_t *targets_since(const struct ledger_target *target, bool down)
{
	uint64_t by_checks = target->check.state == CHECK_DOWN ? target->check.since : 0;
	uint64_t since = !down		      ? target->up_since
			 : target->down_since ? target->down_since
					      : by_checks;
	uint64_t now = clock_monotonic();

	return since ? json_real(since < now ? (double)(now - since) / NSEC_PER_SEC : 0.0)
		     : json_null();
}
