/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The set of listening sockets, across generations. What fits is decided by config_leg_digest(). A
 * SO_REUSEPORT group would let a second daemon of the same user share an address silently, so that
 * a new address is first bound alone; but not where one of our own sockets has the port already
 * (from 0.0.0.0:80 to 127.0.0.1:80 by a reload).
 */
#include "keeper/listener_set.h"

#include "base/assert.h"
#include "base/index.h"
#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "config/limit.h"
#include "keeper/bind_error.h"
#include "keeper/errand.h"
#include "keeper/job.h"
#include "keeper/listener_plan.h"
#include "keeper/opening.h"
#include "keeper/ports.h"
#include "keeper/reuseport.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/original.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* While a generation is prepared. */
static struct {
	struct index records; /* those that may be kept, by their digests */
	int64_t spare;	      /* sockets that there may be beyond one for each listener */
} search;

/* Result of the errand for the generation that is prepared. */
static struct {
	struct report *report;
	int error; /* the first */
} outcome;

typedef int (*wanted_function)(struct ledger *ledger, const struct wanted *wanted,
			       struct generation *generation, struct report *report);

static int for_each_leg(struct ledger *ledger, struct generation *generation, struct report *report,
			wanted_function function)
{
	const struct config *config = generation->config;
	int r, first = 0;

	for (unsigned i = 0; i < config->n_routes; i++) {
		const struct config_route *route = &config->routes[i];

		for (unsigned k = 0; route->enabled && k < route->n_listen; k++)
			for (unsigned l = 0; l < route->listen[k].n_legs; l++) {
				struct wanted wanted = {
					config, route, &route->listen[k], &route->listen[k].legs[l],
					i,	k,     (uint16_t)l};
				r = function(ledger, &wanted, generation, report);
				if (r < 0 && !first)
					first = r;
			}
	}
	return first;
}

/* Something missing may appear later: a module, an adapter, an address, a directory, a network
 * namespace, a user or group that is to own a file. A socket that the service manager did not
 * pass will not. */
static bool is_absence(int error, const struct config_endpoint *endpoint)
{
	switch (error) {
	case -EAFNOSUPPORT:
	case -EPROTONOSUPPORT:
	case -ESOCKTNOSUPPORT:
	case -ENODEV:
		return true;
	case -EADDRNOTAVAIL:
	case -ENOENT:
	case -ESRCH:
		return !job_is_passed(endpoint);
	}
	return false;
}

void listener_set_cancel(struct ledger *ledger, struct generation *generation)
{
	listener_plan_forget_replaced();
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		/* If nothing was bound, nothing is left; another process's file may be there. */
		if (ledger->listeners[i].state == LISTENER_PENDING &&
		    ledger_sockets(&ledger->listeners[i]) && ledger->listeners[i].fds[0] >= 0)
			opening_remove_traces(ledger, &ledger->listeners[i], generation);
	opening_send(ledger, false);
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state == LISTENER_PENDING)
			opening_take_back(ledger, &ledger->listeners[i]);
}

static int open_leg(struct ledger *ledger, const struct wanted *wanted,
		    struct generation *generation, struct report *report)
{
	struct ledger_listener *record = listener_plan_free_record(ledger);

	if (!record)
		return bind_error_add(wanted->config, wanted->route, wanted->endpoint, "listen",
				      -ENOSPC, report);
	if (wanted->route->waits_for_names || wanted->leg->host_name) {
		opening_hold(ledger, record, wanted, generation, -ENOKEY);
		return 0;
	}
	record->shared = wanted_is_for_each(wanted) && search.spare < ledger->n_threads - 1;
	if (wanted_is_for_each(wanted) && !record->shared)
		search.spare -= ledger->n_threads - 1;
	return opening_ask(ledger, record, wanted, generation);
}

/* An upgrade may have brought more threads. */
static bool fits(const struct ledger *ledger, const struct ledger_listener *record,
		 const struct wanted *wanted)
{
	uint32_t readers = wanted_is_for_each(wanted) ? ledger->n_threads : 1;

	assert(record);
	return record->state == LISTENER_WAITING ||
	       (record->state == LISTENER_OPEN &&
		(record->n_fds == readers || (record->shared && record->n_fds == 1)));
}

/* Several may fit, as feeds do: each route keeps its own, and its sessions with it. */
static bool is_its_own(const struct ledger_listener *record, const struct wanted *wanted,
		       struct generation *generation)
{
	const struct config_route *route =
		generation_route(generation->next, record->generation, record->route);
	const struct config_endpoint *endpoint = generation_listens(generation->next, record);

	return route && endpoint && !strcmp(route->name, wanted->route->name) &&
	       endpoint->digest == wanted->endpoint->digest;
}

static int find_its_own(struct ledger *ledger, const struct wanted *wanted,
			struct generation *generation, struct report *report)
{
	uint64_t digest = config_leg_digest(wanted->endpoint, wanted->leg);
	uint32_t i;

	(void)report;
	for (size_t at = 0; index_next(&search.records, digest, &at, &i);)
		if (!listener_plan_of(i) && fits(ledger, &ledger->listeners[i], wanted) &&
		    is_its_own(&ledger->listeners[i], wanted, generation)) {
			listener_plan_keep(i, wanted);
			return 0;
		}
	return 0;
}

static int find_or_open(struct ledger *ledger, const struct wanted *wanted,
			struct generation *generation, struct report *report)
{
	uint64_t digest = config_leg_digest(wanted->endpoint, wanted->leg);
	const struct ledger_listener *record = NULL;
	uint32_t found = 0, i;

	for (size_t at = 0; index_next(&search.records, digest, &at, &i);) {
		if (!listener_plan_is_for(i, wanted) &&
		    (record || listener_plan_of(i) || !fits(ledger, &ledger->listeners[i], wanted)))
			continue;
		record = &ledger->listeners[i];
		found = i;
		if (listener_plan_is_for(i, wanted))
			break;
	}
	if (!record)
		return open_leg(ledger, wanted, generation, report);
	listener_plan_keep(found, wanted);
	if (record->state == LISTENER_WAITING ||
	    record->live_digest == config_leg_live_digest(wanted->endpoint, wanted->leg))
		return 0;
	return opening_try_options(ledger, record, wanted);
}

static void end_search(void)
{
	index_done(&search.records);
	ports_forget();
	listener_plan_rewind();
}

static int begin_search(const struct ledger *ledger)
{
	int r = 0;

	for (uint32_t i = 0; i < ledger_listeners_high(ledger) && !r; i++)
		if (ledger->listeners[i].state == LISTENER_OPEN ||
		    ledger->listeners[i].state == LISTENER_WAITING)
			r = index_add(&search.records, ledger->listeners[i].digest, i);
	return r;
}

/* A kept record keeps its number of sockets, whatever it would be now. */
static void count_spare(const struct ledger *ledger, const struct generation *generation)
{
	uint32_t listeners = limit_count_listeners(generation->config);

	search.spare = (int64_t)limit_sockets(limit_descriptors(), listeners) - listeners;
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state == LISTENER_OPEN && ledger->listeners[i].n_fds)
			search.spare -= ledger->listeners[i].n_fds - 1;
}

/* A missing device or family does not hold up other listeners. */
static void take_outcome(struct ledger *ledger, const struct job *job, int r, const char *text)
{
	struct ledger_listener *record = &ledger->listeners[job->record];

	if (job->kind == JOB_OPEN)
		original_restore_listener(ledger, record);
	if (!r && job->kind == JOB_OPEN)
		opening_note_place(ledger, job);
	if (!r)
		return;
	opening_leave_unfinished(job, r);
	if (job->kind == JOB_OPEN)
		opening_take_back(ledger, record);
	if (job->kind == JOB_OPEN && is_absence(r, job->endpoint)) {
		log_lines(LOG_WARNING, "", text);
		opening_wait(ledger, record, r, LISTENER_PENDING);
		return;
	}
	if (*text)
		report_add(outcome.report, "%.*s", (int)strlen(text) - 1, text);
	if (!outcome.error)
		outcome.error = r;
}

int listener_set_prepare(struct ledger *ledger, struct generation *generation,
			 struct report *report)
{
	static const struct errand_taker taker = {opening_take_socket, take_outcome};
	int r;

	listener_plan_clear();
	r = begin_search(ledger);
	if (!r)
		r = for_each_leg(ledger, generation, report, find_its_own);
	count_spare(ledger, generation);
	if (!r)
		r = for_each_leg(ledger, generation, report, find_or_open);
	end_search();
	outcome.error = 0;
	outcome.report = calloc(1, sizeof *outcome.report);
	if (!r && !outcome.report)
		r = -ENOMEM;
	r = opening_start(ledger, r, &taker);
	if (r < 0) {
		free(outcome.report);
		outcome.report = NULL;
		listener_set_cancel(ledger, generation);
	}
	return r;
}

int listener_set_prepared(struct ledger *ledger, struct generation *generation,
			  struct report *report)
{
	int r = outcome.error;

	if (outcome.report->text)
		report_add(report, "%.*s", (int)outcome.report->len - 1, outcome.report->text);
	else if (r)
		report_add(report, "could not try all listeners: %s", strerror(-r));
	report_done(outcome.report);
	free(outcome.report);
	outcome.report = NULL;
	if (r < 0)
		listener_set_cancel(ledger, generation);
	return r;
}

void listener_set_take_over(struct ledger *ledger, struct generation *newest)
{
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++) {
		struct ledger_listener *record = &ledger->listeners[i];
		const struct config_endpoint *endpoint = generation_listens(newest, record);
		const struct config_leg *leg = generation_listens_by(newest, record);

		if (!leg)
			continue;
		record->digest = config_leg_digest(endpoint, leg);
		record->live_digest = config_leg_live_digest(endpoint, leg);
	}
	reuseport_take_over(ledger);
}

/* Whether a record listens for it already, or waits to. */
static bool has_record(const struct ledger *ledger, const struct wanted *wanted,
		       const struct generation *generation)
{
	uint64_t digest = config_leg_digest(wanted->endpoint, wanted->leg);
	uint32_t i;

	for (size_t at = 0; index_next(&search.records, digest, &at, &i);) {
		const struct ledger_listener *record = &ledger->listeners[i];

		if (record->generation == generation->number &&
		    record->route == wanted->route_index &&
		    record->endpoint == wanted->endpoint_index && record->leg == wanted->leg_index)
			return true;
	}
	return false;
}

static int wait_if_lost(struct ledger *ledger, const struct wanted *wanted,
			struct generation *generation, struct report *report)
{
	struct ledger_listener *record;

	if (has_record(ledger, wanted, generation))
		return 0;
	record = listener_plan_free_record(ledger);
	if (!record)
		return -ENOSPC;
	report_add(report, "route %s: %s: its socket was lost, it is opened again",
		   wanted->route->name, wanted->endpoint->text);
	opening_wait_for_place(ledger, record, wanted, generation, -EBADFD);
	return 0;
}

bool listener_set_complete(struct ledger *ledger, struct generation *newest)
{
	struct report report = {0};
	bool lost;

	if (!begin_search(ledger))
		for_each_leg(ledger, newest, &report, wait_if_lost);
	end_search();
	lost = report.count;
	log_lines(LOG_WARNING, "", report.text);
	report_done(&report);
	return lost;
}

void listener_set_end(struct ledger *ledger, struct generation *newest)
{
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state == LISTENER_OPEN)
			opening_remove_traces(ledger, &ledger->listeners[i], newest);
	opening_send(ledger, true);
	errand_wait(ledger);
}
