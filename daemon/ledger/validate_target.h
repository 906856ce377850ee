/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Impossible values in a target's record. */
#pragma once

#include <stdint.h>

struct ledger_target;

/* Puts it right. Returns how many words; now: CLOCK_MONOTONIC ns. */
uint64_t validate_target(struct ledger_target *record, uint64_t now);
