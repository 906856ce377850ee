/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Validation: what is shared is not trusted. Before records that an earlier process has written are
 * used, each is checked against the generation that it names, the counts, and what is open. The
 * keeper restores its own words itself (original.h).
 */
#pragma once

#include <stdint.h>

struct generation;
struct ledger;

/* What validation has found since the ledger was made. */
struct validation {
	uint64_t sessions, listeners, controls; /* did not fit, and were freed */
	uint64_t mended;			/* hints, indexes and times that were corrected */
};

/* In one pass, while no worker runs or in the heir's only thread. An impossible record is freed:
 * its descriptors have no owner then, and the sweep closes them. A descriptor that two records
 * name belongs to neither: no session gets another's bytes. Nothing is opened or closed here,
 * and nothing is logged. */
void validate_ledger(struct ledger *ledger, struct generation *generations);

/* Frees a session's record, and counts it as one that did not fit. */
void validate_drop(struct ledger *ledger, uint32_t slot);

/* What is counted in the ledger, by all validations of it. */
struct validation validate_sums(const struct ledger *ledger);

/* Logs what has been found since `before`, if anything was. */
void validate_log(const struct ledger *ledger, const struct validation *before);
