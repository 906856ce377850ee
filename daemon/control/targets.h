/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Targets, as they are listed. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct config_health;
struct ledger_check;
struct ledger_target;

/* Results of a target's health checks; null: it has none. */
json_t *targets_check(const struct ledger_check *check, const struct config_health *health);

/* Seconds for which it has been down, or up; null: it was never down. down: which of them. */
json_t *targets_since(const struct ledger_target *target, bool down);
