/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Validation: what is shared is not trusted. Before records are acted upon that a process of before
 * has written, each is held against the generation that it names, against the counts, and against
 * what is open. What the keeper has written it puts back itself (original.h).
 */
#pragma once

#include <stdint.h>

struct generation;
struct ledger;

/* What validation has found since the ledger was made. */
struct validation {
	uint64_t sessions, listeners, controls; /* did not fit, and were freed */
	uint64_t mended;			/* hints, indexes and times that were put right */
};

/* In one pass, while no worker runs or in the heir's only thread. A record that says what cannot be
 * is freed: its descriptors are nobody's then, and the sweep closes them. A descriptor that two
 * records name belongs to neither: nobody gets another's bytes. Nothing is opened or closed here,
 * and nothing is logged. */
void validate_ledger(struct ledger *ledger, struct generation *generations);

/* Frees a session's record, and counts it as one that did not fit. */
void validate_drop(struct ledger *ledger, uint32_t slot);

/* What is counted in the ledger, by all validations of it. */
struct validation validate_sums(const struct ledger *ledger);

/* Logs what has been found since `before`, if anything was. */
void validate_log(const struct ledger *ledger, const struct validation *before);
