/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Validation. It owns a byte for each descriptor number: which record names it (claim.h). Always
 * true: what an heir uses of a record as an index, a length, a count or a shift has been checked
 * against a bound here. What surprised us: the mark of a table's used size can be wrong like any
 * other word; the kernel knows which pages of a memfd were ever written to (SEEK_DATA).
 */
#include "ledger/validate.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/sparse.h"
#include "config/limit.h"
#include "ledger/claim.h"
#include "ledger/extent.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/mend.h"
#include "ledger/unit.h"
#include "ledger/validate_listener.h"
#include "ledger/validate_session.h"
#include "ledger/validate_target.h"

#include <sys/stat.h>

static void mend_atomic(struct validating *v, _Atomic uint32_t *word, uint32_t value)
{
	v->mended += *word != value;
	*word = value;
}

static void limit_wait(struct validating *v, struct ledger_control *record)
{
	uint64_t latest = v->now + LEDGER_WAIT_SECONDS_MAX * NSEC_PER_SEC;

	v->mended += record->until > latest;
	record->until = record->until > latest ? latest : record->until;
}

static bool control_fits(struct validating *v, struct ledger_control *record)
{
	struct ledger_keeper *keeper = v->ledger->keeper;

	if (record->state > CONTROL_WAITING || record->fd < 0 || !claim_fd(v, record->fd, S_IFSOCK))
		return false;
	if (record->state == CONTROL_WAITING)
		limit_wait(v, record);
	/* The worker died before it asked. */
	if (record->state == CONTROL_RELOADING && record->asked == keeper->reload_asked + 1)
		keeper->reload_asked = record->asked;
	return record->state != CONTROL_RELOADING || record->asked <= keeper->reload_asked;
}

static void drop_control(struct validating *v, struct ledger_control *record)
{
	*record = (struct ledger_control){.fd = -1};
	v->ledger->keeper->dropped_controls++;
}

static void validate_controls(struct validating *v)
{
	for (uint32_t i = 0; i < LEDGER_CONTROLS_MAX; i++) {
		struct ledger_control *record = &v->ledger->controls[i];

		if (record->state != CONTROL_FREE && !control_fits(v, record))
			drop_control(v, record);
	}
}

static void validate_route(struct validating *v, struct ledger_route *record)
{
	if (record->limit_at > v->now) {
		record->limit_at = 0;
		v->mended++;
	}
	if (record->paused > ROUTE_CLOSED) {
		record->paused = ROUTE_RUNS;
		v->mended++;
	}
	mend_atomic(v, &record->hand, record->hand & (LEDGER_HAND_DRAIN | LEDGER_HAND_HOLD));
	record->name[sizeof record->name - 1] = record->family[sizeof record->family - 1] = '\0';
}

static void validate_keeper(struct validating *v)
{
	struct ledger_keeper *keeper = v->ledger->keeper;
	uint32_t high = extent_used(v->ledger->fd, v->ledger->header, LEDGER_SESSIONS);

	v->mended += keeper->sessions_high > v->ledger->n_sessions;
	keeper->sessions_high = high;
	keeper->last_death[sizeof keeper->last_death - 1] = '\0';
	keeper->config_path[sizeof keeper->config_path - 1] =
		keeper->control_path[sizeof keeper->control_path - 1] = '\0';
	keeper->unread[sizeof keeper->unread - 1] = '\0';
	v->ledger->text[LEDGER_TEXT_MAX - 1] = '\0';
}

/* Its owner is unknown. */
static void drop_those_named_twice(struct validating *v)
{
	for (uint32_t i = 0; i < ledger_sessions_high(v->ledger); i++) {
		const struct ledger_session *record = &v->ledger->sessions[i];
		bool twice = false;

		for (int k = 0; record->state > SESSION_CLAIMED && k < 2; k++)
			twice |= claim_is_twice(v, record->fd[k]) ||
				 claim_is_twice(v, record->direction[k].pipe) ||
				 claim_is_twice(v, record->stage[k]);
		if (twice)
			validate_drop(v->ledger, i);
	}
	for (uint32_t i = 0; i < LEDGER_CONTROLS_MAX; i++)
		if (v->ledger->controls[i].state != CONTROL_FREE &&
		    claim_is_twice(v, v->ledger->controls[i].fd))
			drop_control(v, &v->ledger->controls[i]);
}

/* A place that a thread was writing to when it died is free. */
static void free_busy_places(struct ledger *ledger)
{
	for (uint32_t i = 0; i < LEDGER_KEPT_MAX; i++)
		if (ledger->firsts[i].owner == KEPT_BUSY)
			ledger->firsts[i].owner = KEPT_FREE;
}

/* The count that a thread left unfinished. */
static void validate_thread(struct validating *v, struct ledger_thread *record)
{
	if (record->batch > BATCH_SENT || record->batch_size > LEDGER_BATCH_MAX ||
	    record->batch_route >= LEDGER_ROUTES_MAX || record->batch_direction > 1) {
		mend_word(v, (uint32_t *)&record->batch, BATCH_NONE);
		record->batch_size = record->batch_route = record->batch_direction = 0;
	}
}

void validate_ledger(struct ledger *ledger, struct generation *generations)
{
	struct validating v = {.ledger = ledger,
			       .generations = generations,
			       .now = clock_monotonic(),
			       .n_numbers = (int)limit_numbers()};

	v.numbers = sparse_new((size_t)v.n_numbers);
	validate_keeper(&v);
	claim_keep_own(&v);
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		validate_listener(&v, i);
	if (!ledger->kept) /* else the keeper has set it */
		validate_listener_places(&v);
	for (uint32_t i = 0; i < ledger_routes_high(ledger); i++)
		validate_route(&v, &ledger->routes[i]);
	for (uint32_t i = 0; i < ledger_targets_high(ledger); i++)
		v.mended += validate_target(&ledger->targets[i], v.now);
	v.mended += unit_validate(ledger, v.now);
	validate_controls(&v);
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++)
		validate_session(&v, i);
	for (uint32_t i = 0; i <= ledger->n_threads; i++)
		validate_thread(&v, &ledger->threads[i]);
	if (v.twice)
		drop_those_named_twice(&v);
	free_busy_places(ledger);
	ledger_hold_adopted(ledger, HAND_EMPTY, 0);
	ledger->keeper->mended += v.mended;
	sparse_free(v.numbers, (size_t)v.n_numbers);
}

struct validation validate_sums(const struct ledger *ledger)
{
	const struct ledger_keeper *keeper = ledger->keeper;

	return (struct validation){keeper->dropped_sessions, keeper->dropped_listeners,
				   keeper->dropped_controls, keeper->mended};
}

void validate_log(const struct ledger *ledger, const struct validation *before)
{
	struct validation now = validate_sums(ledger);
	unsigned long long sessions = now.sessions - before->sessions,
			   listeners = now.listeners - before->listeners,
			   controls = now.controls - before->controls,
			   mended = now.mended - before->mended;

	if (sessions || listeners || controls)
		log_error(
			"the ledger contained impossible values, written by a crashed or faulty worker: %llu sessions, %llu listeners and "
			"%llu control connections are dropped, %llu words corrected",
			sessions, listeners, controls, mended);
	else if (mended)
		log_error(
			"the ledger contained impossible values, written by a crashed or faulty worker: %llu words corrected",
			mended);
}
