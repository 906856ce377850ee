/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger/validate_target.h"

#include "base/clock.h"
#include "ledger/ledger.h"

enum {
	DOWN_MAX_SECONDS = 3600,  /* no target is held to be down for longer */
	ASKED_MAX_SECONDS = 3600, /* nor kept for the session that asks it */
};

static uint64_t set_word(_Atomic uint32_t *word, uint32_t value)
{
	bool differs = *word != value;

	*word = value;
	return differs;
}

static uint64_t mend_time(_Atomic uint64_t *time, uint64_t latest, uint64_t otherwise)
{
	if (*time <= latest)
		return 0;
	*time = otherwise;
	return 1;
}

/* Its socket has no owner now: the sweep closes it, and the heir repeats the check. */
static uint64_t validate_check(struct ledger_check *check, uint64_t now)
{
	uint64_t mended = mend_time(&check->since, now, now) +
			  mend_time(&check->ended_at, now, now) +
			  mend_time(&check->began_at, now, now);

	check->fd = 0;
	if (check->state > CHECK_DOWN) {
		check->state = CHECK_NEW;
		mended++;
	}
	check->error[sizeof check->error - 1] = '\0';
	return mended;
}

/* What does not fit is resolved again. */
static uint64_t validate_addresses(struct ledger_target *record)
{
	bool fit = record->n_addresses <= LEDGER_ADDRESSES_MAX;

	for (uint32_t i = 0; fit && i < record->n_addresses; i++)
		fit = record->addresses[i].len <= sizeof record->addresses[i].bytes;
	if (fit)
		return 0;
	record->n_addresses = 0;
	return 1;
}

uint64_t validate_target(struct ledger_target *record, uint64_t now)
{
	uint64_t mended = set_word(&record->hand, record->hand & LEDGER_HAND_DISABLE
							  ? LEDGER_HAND_DRAIN | LEDGER_HAND_DISABLE
							  : record->hand & LEDGER_HAND_DRAIN);
	mended += set_word(&record->weight_set,
			   record->weight_set <= LEDGER_WEIGHT_MAX + 1 ? record->weight_set : 0);

	mended += set_word(&record->listed, record->listed != 0 && record->n_addresses == 1);
	mended += set_word(&record->refused, record->refused != 0 && !record->listed);
	record->name[sizeof record->name - 1] = '\0';
	return mended + validate_addresses(record) + validate_check(&record->check, now) +
	       mend_time(&record->down_until, now + DOWN_MAX_SECONDS * NSEC_PER_SEC, 0) +
	       mend_time(&record->asked_until, now + ASKED_MAX_SECONDS * NSEC_PER_SEC, 0) +
	       mend_time(&record->failed_at, now, now) + mend_time(&record->down_since, now, 0) +
	       mend_time(&record->up_since, now, 0);
}
