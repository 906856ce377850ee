/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The set of listening sockets, across generations. What fits is decided by config_leg_digest(). A
 * SO_REUSEPORT group would let a second daemon of the same user share an address silently, so that
 * a new address is first bound alone; but not where one of our own sockets has the port already
 * (from 0.0.0.0:80 to 127.0.0.1:80 by a reload).
 */
#include "keeper/listener_set.h"

#include "base/clock.h"
#include "base/index.h"
#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "config/limit.h"
#include "keeper/bind_error.h"
#include "keeper/binding.h"
#include "keeper/errand.h"
#include "keeper/job.h"
#include "keeper/opening.h"
#include "keeper/ports.h"
#include "keeper/reuseport.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/original.h"
#include "net/callback.h"
#include "net/scope.h"
#include "net/socket.h"
#include "session/endpoint_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* By record of the ledger: the place in the prepared generation that it is kept for. */
static struct {
	bool kept;
	uint32_t route, endpoint;
	uint16_t leg;
} plan[LEDGER_LISTENERS_MAX];

/* By record: another was opened for the same, because this one's place is lost. */
static bool replaced[LEDGER_LISTENERS_MAX];

/* While a generation is prepared. */
static struct {
	struct index records; /* those that may be kept, by their digests */
	uint32_t first_free;  /* no record before it is free */
	int64_t spare;	      /* sockets that there may be beyond one for each listener */
} search;

/* What came of the errand for the generation that is prepared, or for listeners that waited. */
static struct {
	struct report *report;
	int error; /* the first */
	bool come; /* some that waited are PENDING */
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

static struct ledger_listener *free_record(struct ledger *ledger)
{
	for (uint32_t i = search.first_free; i < LEDGER_LISTENERS_MAX; i++) {
		if (i < ledger_listeners_high(ledger) &&
		    ledger->listeners[i].state != LISTENER_FREE)
			continue;
		search.first_free = i + 1;
		if (i >= ledger_listeners_high(ledger))
			ledger->keeper->listeners_high = i + 1;
		return &ledger->listeners[i];
	}
	return NULL;
}

/* What is not there may come: a module that is loaded, an adapter that is plugged in, an address, a
 * directory, a network namespace, a user or group that a file is to be given to. What the service
 * manager did not pass does not come to this process. */
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
	memset(replaced, 0, sizeof replaced);
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		/* What was not bound left nothing; another's may stand there. */
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
	struct ledger_listener *record = free_record(ledger);

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

static void keep_for(uint32_t index, const struct wanted *wanted)
{
	plan[index].kept = true;
	plan[index].route = wanted->route_index;
	plan[index].endpoint = wanted->endpoint_index;
	plan[index].leg = wanted->leg_index;
}

/* An upgrade may have brought more threads. */
static bool fits(const struct ledger *ledger, const struct ledger_listener *record,
		 const struct wanted *wanted)
{
	uint32_t readers = wanted_is_for_each(wanted) ? ledger->n_threads : 1;

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
		if (!plan[i].kept && fits(ledger, &ledger->listeners[i], wanted) &&
		    is_its_own(&ledger->listeners[i], wanted, generation)) {
			keep_for(i, wanted);
			return 0;
		}
	return 0;
}

static bool is_kept_for(uint32_t index, const struct wanted *wanted)
{
	return plan[index].kept && plan[index].route == wanted->route_index &&
	       plan[index].endpoint == wanted->endpoint_index &&
	       plan[index].leg == wanted->leg_index;
}

static int find_or_open(struct ledger *ledger, const struct wanted *wanted,
			struct generation *generation, struct report *report)
{
	uint64_t digest = config_leg_digest(wanted->endpoint, wanted->leg);
	const struct ledger_listener *record = NULL;
	uint32_t found = 0, i;

	for (size_t at = 0; index_next(&search.records, digest, &at, &i);) {
		if (!is_kept_for(i, wanted) &&
		    (record || plan[i].kept || !fits(ledger, &ledger->listeners[i], wanted)))
			continue;
		record = &ledger->listeners[i];
		found = i;
		if (is_kept_for(i, wanted))
			break;
	}
	if (!record)
		return open_leg(ledger, wanted, generation, report);
	keep_for(found, wanted);
	if (record->state == LISTENER_WAITING ||
	    record->live_digest == config_leg_live_digest(wanted->endpoint, wanted->leg))
		return 0;
	return opening_try_options(ledger, record, wanted);
}

static void end_search(void)
{
	index_done(&search.records);
	ports_forget();
	search.first_free = 0;
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

/* What is kept keeps its sockets, whatever there would be for it now. */
static void count_spare(const struct ledger *ledger, const struct generation *generation)
{
	uint32_t listeners = limit_count_listeners(generation->config);

	search.spare = (int64_t)limit_sockets(limit_descriptors(), listeners) - listeners;
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state == LISTENER_OPEN && ledger->listeners[i].n_fds)
			search.spare -= ledger->listeners[i].n_fds - 1;
}

/* What is not there keeps no other listener from its work. */
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

	memset(plan, 0, sizeof plan);
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

/* LIVE options on an open socket. A refusal is the log's: the generation runs already. The family's
 * own follow, set by a child. */
static void apply_live(struct ledger *ledger, struct ledger_listener *record,
		       struct generation *newest)
{
	const struct config_route *route = &newest->config->routes[record->route];
	const struct config_endpoint *endpoint = &route->listen[record->endpoint];
	const struct config_leg *leg = &endpoint->legs[record->leg];
	struct socket_options common = endpoint_socket_options(endpoint);

	for (uint32_t k = 0; k < ledger_sockets(record); k++) {
		int r = socket_change(record->fds[k], leg->family, leg->row, &common);

		if (!r && !socket_has_no_connections(leg->row) &&
		    listen(record->fds[k], endpoint_socket_backlog(endpoint, record->leg)) < 0)
			r = -errno;
		if (r < 0)
			log_warning(
				"route %s: %s: cannot change an option, the old value remains: %s",
				route->name, endpoint->text, strerror(-r));
	}
	if (leg->family->plugin.prepare || leg->family->plugin.bound)
		opening_add(ledger, JOB_LIVE, record, newest);
}

static void keep(struct ledger *ledger, struct ledger_listener *record, uint32_t index,
		 struct generation *newest)
{
	const struct config_endpoint *endpoint =
		&newest->config->routes[plan[index].route].listen[plan[index].endpoint];
	uint64_t live = config_leg_live_digest(endpoint, &endpoint->legs[plan[index].leg]);

	record->generation = newest->number;
	record->route = plan[index].route;
	record->endpoint = plan[index].endpoint;
	record->leg = plan[index].leg;
	record->deaths = 0;
	record->paused = PAUSE_NONE;
	if (record->live_digest != live)
		apply_live(ledger, record, newest);
	record->live_digest = live;
}

/* Whom nobody new reaches anyhow, those may go on to reach who have a connection. */
static void leave_as_it_is(struct ledger_listener *record)
{
	record->waits = 0;
	record->leaving_since = (uint32_t)(clock_monotonic() / NSEC_PER_SEC);
	atomic_store(&record->state, LISTENER_LEAVING);
}

static void leave(struct ledger *ledger, struct ledger_listener *record, struct generation *newest)
{
	const struct config_endpoint *endpoint = generation_listens(newest, record);
	const struct config_leg *leg = generation_listens_by(newest, record);

	opening_remove_traces(ledger, record, newest);
	for (uint32_t k = 0; k < ledger_sockets(record) && !(endpoint && job_is_passed(endpoint));
	     k++) {
		if (leg && leg->row->capabilities & SPLICED_CONNECTIONLESS)
			socket_stop_datagrams(record->fds[k]);
		else if (!record->group)
			socket_stop_syn(record->fds[k]);
	}
	leave_as_it_is(record);
}

/* What was prepared is opened to clients. Who took its place in the meantime keeps it, and is
 * waited for. */
static void go(struct ledger *ledger, struct ledger_listener *record, struct generation *newest)
{
	const struct config_route *route =
		generation_route(newest, record->generation, record->route);
	const struct config_endpoint *endpoint = generation_listens(newest, record);
	const struct config_leg *leg = generation_listens_by(newest, record);
	struct socket_failure failure = {.call = "listen"};
	struct address address;
	int r = -record->waits;

	if (!leg) {
		opening_take_back(ledger, record);
		return;
	}
	for (uint32_t k = 0; k < ledger_sockets(record) && !r && !job_is_passed(endpoint); k++) {
		r = scope_fill(record->fds[k], leg->interface, &leg->address, &address);
		if (!r)
			r = socket_listen(record->fds[k], leg->family, leg->row, &address,
					  endpoint_socket_backlog(endpoint, record->leg), &failure);
	}
	if (!r) {
		if (record->n_fds && socket_is_bound_late(leg->family, leg->row) &&
		    leg->family->plugin.bound)
			opening_add(ledger, JOB_BOUND, record, newest);
		reuseport_join(record);
		atomic_store(&record->state, LISTENER_OPEN);
		return;
	}
	if (record->n_fds) {
		log_error("route %s: %s %s: %s", route->name, failure.call, endpoint->text,
			  strerror(-r));
		opening_remove_traces(ledger, record, newest);
		record->waits = -r;
		original_note_listener(ledger, record);
		return; /* PENDING, until the child has its sockets */
	}
	opening_wait(ledger, record, r, LISTENER_WAITING);
}

/* What families do for those that changed, came and leave is begun; then who could not open
 * waits. */
static void end_change(struct ledger *ledger)
{
	opening_send(ledger, false);
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++) {
		struct ledger_listener *record = &ledger->listeners[i];

		if (record->state != LISTENER_PENDING || !record->waits)
			continue;
		opening_wait_again(ledger, record, -record->waits);
	}
	reuseport_settle(ledger);
}

static void open_pending(struct ledger *ledger, struct generation *newest)
{
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state == LISTENER_PENDING)
			go(ledger, &ledger->listeners[i], newest);
}

void listener_set_open(struct ledger *ledger, struct generation *newest)
{
	open_pending(ledger, newest);
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++) {
		if (replaced[i] && ledger->listeners[i].state == LISTENER_OPEN)
			leave_as_it_is(&ledger->listeners[i]);
		replaced[i] = false;
	}
	end_change(ledger);
}

/* What comes listens before what goes does not. */
void listener_set_commit(struct ledger *ledger, struct generation *newest)
{
	uint32_t high = ledger_listeners_high(ledger);

	for (uint32_t i = 0; i < high; i++)
		if (ledger->listeners[i].state != LISTENER_FREE && plan[i].kept)
			keep(ledger, &ledger->listeners[i], i, newest);
	open_pending(ledger, newest);
	for (uint32_t i = 0; i < high; i++) {
		struct ledger_listener *record = &ledger->listeners[i];

		if (record->generation == newest->number)
			continue;
		if (record->state == LISTENER_OPEN)
			leave(ledger, record, newest);
		else if (record->state == LISTENER_WAITING)
			atomic_store(&record->state, LISTENER_FREE);
	}
	end_change(ledger);
}

/* By record that is tried: what was waited for, and of which other record it is to take the place
 * (0: none, else its index and 1). */
static struct {
	int32_t waited;
	uint32_t other;
} attempts[LEDGER_LISTENERS_MAX];

/* One that waits goes on waiting; one that has lost its place stays as it is, and is accepted
 * from. */
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
		replaced[attempts[job->record].other - 1] = true;
	original_restore_listener(ledger, record);
	record->waits = 0;
	atomic_store(&record->state, LISTENER_PENDING);
	opening_note_place(ledger, job);
}

static void take_attempt(struct ledger *ledger, const struct job *job, int r, const char *text)
{
	int before = -attempts[job->record].waited;

	outcome.come |= !r;
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
		next = free_record(ledger);
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

	outcome.come = false;
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
	end_search();
	r = opening_start(ledger, r, &taker);
	for (uint32_t i = 0; r && i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state == LISTENER_PENDING ||
		    (ledger->listeners[i].state == LISTENER_WAITING && ledger->listeners[i].n_fds))
			end_attempt(ledger, i, -attempts[i].waited);
}

bool listener_set_has_come(struct ledger *ledger)
{
	opening_send(ledger, false);
	return outcome.come;
}

void listener_set_end(struct ledger *ledger, struct generation *newest)
{
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state == LISTENER_OPEN)
			opening_remove_traces(ledger, &ledger->listeners[i], newest);
	opening_send(ledger, true);
	errand_wait(ledger);
}
