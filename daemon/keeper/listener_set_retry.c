/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Listeners that wait for something are tried periodically; so are those whose socket has lost
 * its file or interface. */
#include "keeper/listener_set.h"

#include "base/log.h"
#include "config/config.h"
#include "keeper/binding.h"
#include "keeper/errand.h"
#include "keeper/job.h"
#include "keeper/listener_plan.h"
#include "keeper/opening.h"
#include "keeper/ports.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/original.h"

#include <errno.h>

/* By record that is tried: what was waited for, and of which other record it is to take the place
 * (0: none, else its index and 1). */
static struct {
	int32_t waited;
	uint32_t other;
} attempts[LEDGER_LISTENERS_MAX];

static bool come; /* some that waited are PENDING */

/* One that waits keeps waiting; one that has lost its place stays as it is, and accepts. */
static void end_attempt(struct ledger *ledger, uint32_t index, int error)
{
	struct ledger_listener *record = &ledger->listeners[index];

	if (!attempts[index].other) {
		opening_wait_again(ledger, record, error);
		return;
	}
	opening_take_back(ledger, record);
	binding_wait(ledger, &ledger->listeners[attempts[index].other - 1], error);
}

/* It is PENDING: what was waited for is there. */
static void take_opened(struct ledger *ledger, const struct job *job)
{
	struct ledger_listener *record = &ledger->listeners[job->record];

	if (attempts[job->record].other)
		listener_plan_replace(attempts[job->record].other - 1);
	original_restore_listener(ledger, record);
	record->waits = 0;
	atomic_store(&record->state, LISTENER_PENDING);
	opening_note_place(ledger, job);
}

static void take_attempt(struct ledger *ledger, const struct job *job, int r, const char *text)
{
	int before = -attempts[job->record].waited;

	come |= !r;
	if (!r) {
		take_opened(ledger, job);
		return;
	}
	opening_leave_unfinished(job, r);
	end_attempt(ledger, job->record, r == -ECANCELED ? before : r);
	if (r != -ECANCELED && r != before)
		log_lines(LOG_WARNING, "", text);
}

/* One that waits opens in its own record, one that has lost its place in another: until then it is
 * accepted from. */
static int try_again(struct ledger *ledger, uint32_t index, const struct wanted *wanted,
		     struct generation *newest)
{
	struct ledger_listener *record = &ledger->listeners[index], *next = record;
	int32_t waited = record->waits;
	bool lost = record->state == LISTENER_OPEN;

	if (lost) {
		next = listener_plan_free_record(ledger);
		if (!next)
			return 0; /* a place comes free */
		next->shared = record->shared;
	}
	attempts[next - ledger->listeners].waited = waited;
	attempts[next - ledger->listeners].other = lost ? index + 1 : 0;
	return lost ? opening_ask(ledger, next, wanted, newest)
		    : opening_ask_again(ledger, record, wanted);
}

void listener_set_try(struct ledger *ledger, struct generation *newest)
{
	static const struct errand_taker taker = {opening_take_socket, take_attempt};
	int r = 0;

	come = false;
	for (uint32_t i = 0; i < ledger_listeners_high(ledger) && !r; i++) {
		struct ledger_listener *record = &ledger->listeners[i];
		struct wanted wanted = {
			.config = newest->config,
			.route = generation_route(newest, newest->number, record->route),
			.endpoint = generation_listens(newest, record),
			.leg = generation_listens_by(newest, record),
			.route_index = record->route,
			.endpoint_index = record->endpoint,
			.leg_index = record->leg};
		bool is_due = record->state == LISTENER_WAITING ||
			      (record->state == LISTENER_OPEN && record->waits);

		if (wanted.route &&
		    (wanted.route->waits_for_names || (wanted.leg && wanted.leg->host_name)))
			continue;
		if (!is_due || record->generation != newest->number || !wanted.leg)
			continue;
		r = try_again(ledger, i, &wanted, newest);
	}
	ports_forget();
	listener_plan_rewind();
	r = opening_start(ledger, r, &taker);
	for (uint32_t i = 0; r && i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state == LISTENER_PENDING ||
		    (ledger->listeners[i].state == LISTENER_WAITING && ledger->listeners[i].n_fds))
			end_attempt(ledger, i, -attempts[i].waited);
}

bool listener_set_has_come(struct ledger *ledger)
{
	opening_send(ledger, false);
	return come;
}
