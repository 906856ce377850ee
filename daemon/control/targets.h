/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Targets, as they are listed. */
#pragma once

#include <jansson.h>

struct config_health;
struct ledger_check;

/* Results of a target's health checks; null: it has none. */
json_t *targets_check(const struct ledger_check *check, const struct config_health *health);
