/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Corrected words, and the state of a running validation. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct generation;
struct ledger;

struct validating {
	struct ledger *ledger;
	struct generation *generations;
	uint8_t *numbers; /* by descriptor; NULL: no memory, and duplicates are not detected */
	int n_numbers;
	uint64_t now;
	uint64_t mended;
	bool twice; /* some are named twice */
};

static inline void mend_word(struct validating *v, uint32_t *word, uint32_t value)
{
	v->mended += *word != value;
	*word = value;
}

static inline void mend_half(struct validating *v, uint16_t *word, uint16_t value)
{
	v->mended += *word != value;
	*word = value;
}

static inline void mend_byte(struct validating *v, uint8_t *byte, uint8_t value)
{
	v->mended += *byte != value;
	*byte = value;
}

static inline void mend_time(struct validating *v, uint64_t *time, uint64_t latest)
{
	v->mended += *time > latest;
	*time = *time > latest ? latest : *time;
}
