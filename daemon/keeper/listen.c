/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listening sockets across generations. What fits is decided by config_leg_digest(). A SO_REUSEPORT group would let a
 * second daemon of the same user share an address silently, so that a new address is first bound alone; but not where one
 * of our own sockets has the port already (from 0.0.0.0:80 to 127.0.0.1:80 by a reload).
 */
#include "keeper/listen.h"

#include "base/clock.h"
#include "base/index.h"
#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "config/limit.h"
#include "flow/endpoint.h"
#include "keeper/complaint.h"
#include "keeper/group.h"
#include "keeper/place.h"
#include "keeper/ports.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/original.h"
#include "net/callback.h"
#include "net/socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A leg of the generation that is prepared, and its place in it. */
struct wanted {
	const struct config *config;
	const struct config_route *route;
	const struct config_endpoint *endpoint;
	const struct config_leg *leg;
	uint32_t route_index, endpoint_index;
	uint16_t leg_index;
};

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
	int64_t spare;        /* sockets that there may be beyond one for each listener */
} search;

typedef int (*wanted_function)(struct ledger *ledger, const struct wanted *wanted, struct generation *generation, struct report *report);

static int for_each_leg(struct ledger *ledger, struct generation *generation, struct report *report, wanted_function function)
{
	const struct config *config = generation->config;
	int r, first = 0;

	for (unsigned i = 0; i < config->n_routes; i++) {
		const struct config_route *route = &config->routes[i];

		for (unsigned k = 0; route->enabled && k < route->n_listen; k++)
			for (unsigned l = 0; l < route->listen[k].n_legs; l++) {
				struct wanted wanted = {config, route, &route->listen[k], &route->listen[k].legs[l],
							i, k, (uint16_t)l};
				r = function(ledger, &wanted, generation, report);
				if (r < 0 && !first)
					first = r;
			}
	}
	return first;
}

/* Whether the socket is the service manager's, who goes on with it when we leave it. */
static bool is_passed(const struct config_endpoint *endpoint)
{
	return endpoint->values[ENDPOINT_FD].value.text;
}

static int complain(const struct wanted *wanted, const char *call, int error, struct report *report)
{
	return complaint_add(wanted->config, wanted->route, wanted->endpoint, call, error, report);
}

static struct ledger_listener *free_record(struct ledger *ledger)
{
	for (uint32_t i = search.first_free; i < LEDGER_LISTENERS_MAX; i++) {
		if (i < ledger_listeners_high(ledger) && ledger->listeners[i].state != LISTENER_FREE)
			continue;
		search.first_free = i + 1;
		if (i >= ledger_listeners_high(ledger))
			ledger->keeper->listeners_high = i + 1;
		return &ledger->listeners[i];
	}
	return NULL;
}

static void close_record(struct ledger_listener *record)
{
	for (uint32_t k = 0; k < ledger_sockets(record); k++) {
		int fd = record->fds[k];

		record->fds[k] = -1;
		if (fd >= 0)
			close(fd);
	}
	atomic_store(&record->state, LISTENER_FREE);
}

static void fill_record(struct ledger_listener *record, const struct wanted *wanted, const struct generation *generation, uint32_t readers)
{
	uint32_t shared = record->shared;

	/* What it is for does not change where it waits, not even for a moment: others look it up (ledger/glance.h). */
	memset(&record->digest, 0, sizeof *record - offsetof(struct ledger_listener, digest));
	record->shared = shared;
	record->generation = generation->number;
	record->route = wanted->route_index;
	record->endpoint = wanted->endpoint_index;
	record->leg = wanted->leg_index;
	record->deaths = 0;
	record->digest = config_leg_digest(wanted->endpoint, wanted->leg);
	record->live_digest = config_leg_live_digest(wanted->endpoint, wanted->leg);
	record->n_fds = readers;
	for (uint32_t k = 0; k < readers; k++)
		record->fds[k] = -1;
}

/* Whether several sockets may be bound to its address: those of our threads, and one that leaves beside one that comes. */
static bool shares_port(const struct wanted *wanted)
{
	return wanted->leg->row->capabilities & SPLICED_READERS && !is_passed(wanted->endpoint);
}

/* Whether each thread gets a socket of its own. */
static bool is_for_each(const struct wanted *wanted)
{
	return shares_port(wanted) && !ports_is_multicast(&wanted->leg->address);
}

/* What a family has to say of it is said in its place. */
static int open_socket(const struct wanted *wanted, bool probe, struct report *report)
{
	const struct config_leg *leg = wanted->leg;
	struct socket_options common = endpoint_socket_options(wanted->endpoint);
	struct socket_failure failure = {.call = "bind"};
	unsigned errors = report->count;
	int fd;

	config_hear(wanted->config, wanted->route, wanted->endpoint, leg, report);
	if (probe)
		fd = socket_probe(leg->family, &leg->options, &leg->address, &common);
	else
		fd = socket_bind(leg->family, &leg->options, &leg->address, &common, shares_port(wanted), &failure);
	config_hear_nothing();
	return fd < 0 && report->count == errors ? complain(wanted, failure.call, fd, report) : fd;
}

static int open_sockets(struct ledger_listener *record, const struct wanted *wanted, struct report *report)
{
	for (uint32_t k = 0; k < ledger_sockets(record); k++) {
		int fd = open_socket(wanted, false, report);

		if (fd < 0)
			return fd;
		record->fds[k] = fd;
	}
	return 0;
}

/* What is not there may come, by a module that is loaded or an adapter that is plugged in. */
static bool is_absence(int error)
{
	return error == -EAFNOSUPPORT || error == -EPROTONOSUPPORT || error == -ESOCKTNOSUPPORT || error == -ENODEV;
}

/* What the sockets leave behind: a name in the file system, what was asked of the kernel. */
static void remove_traces(const struct ledger_listener *record, struct generation *newest)
{
	const struct config_endpoint *endpoint = generation_listens(newest, record);
	const struct config_leg *leg = generation_listens_by(newest, record);
	const struct sockaddr *bytes = leg ? address_sockaddr_const(&leg->address) : NULL;

	if (!leg || is_passed(endpoint))
		return;
	if (leg->family->plugin.unbound)
		CALLBACK_VOID(leg->family, unbound, leg->family->plugin.unbound(&leg->options, bytes, leg->address.len));
	for (uint32_t k = 0; leg->family->plugin.leave && k < ledger_sockets(record); k++)
		if (record->fds[k] >= 0)
			CALLBACK_VOID(leg->family, leave, leg->family->plugin.leave(record->fds[k], &leg->options));
}

/* What was not bound left nothing; another's may stand there. */
static void take_back(struct ledger *ledger, struct ledger_listener *record, struct generation *generation)
{
	if (record->fds[0] >= 0)
		remove_traces(record, generation);
	close_record(record);
	original_note_listener(ledger, record);
}

void listen_cancel(struct ledger *ledger, struct generation *generation)
{
	memset(replaced, 0, sizeof replaced);
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state == LISTENER_PENDING)
			take_back(ledger, &ledger->listeners[i], generation);
}

/* Opens what a record is for, and leaves it PENDING; or takes back what was opened. */
static int try_record(struct ledger *ledger, struct ledger_listener *record, const struct wanted *wanted, struct generation *generation,
		      struct report *report)
{
	int r = 0;

	fill_record(record, wanted, generation, is_for_each(wanted) && !record->shared ? ledger->n_threads : 1);
	atomic_store(&record->state, LISTENER_PENDING);
	if (shares_port(wanted) && !ports_has(ledger, &wanted->leg->address))
		r = open_socket(wanted, true, report);
	if (!r)
		r = open_sockets(record, wanted, report);
	if (!r)
		place_note(record, wanted->leg);
	original_note_listener(ledger, record);
	if (r)
		take_back(ledger, record, generation);
	else
		ports_note(record);
	return r;
}

/* In place of sockets, what is waited for. */
static void wait_for(struct ledger *ledger, struct ledger_listener *record, int error, enum ledger_listener_state state)
{
	record->n_fds = 0;
	record->waits = -error;
	atomic_store(&record->state, state);
	original_note_listener(ledger, record);
}

/* What is not there keeps no other listener from its work. */
static int open_leg(struct ledger *ledger, const struct wanted *wanted, struct generation *generation, struct report *report)
{
	struct ledger_listener *record = free_record(ledger);
	struct report own = {0};
	int r;

	if (!record)
		return complain(wanted, "listen", -ENOSPC, report);
	record->shared = is_for_each(wanted) && search.spare < ledger->n_threads - 1;
	if (is_for_each(wanted) && !record->shared)
		search.spare -= ledger->n_threads - 1;
	r = try_record(ledger, record, wanted, generation, &own);
	if (is_absence(r)) {
		log_lines(LOG_WARNING, "", own.text);
		wait_for(ledger, record, r, LISTENER_PENDING);
		r = 0;
	} else if (own.text) {
		report_add(report, "%.*s", (int)(own.len - 1), own.text);
	}
	report_done(&own);
	return r;
}

/* Whether LIVE options that have changed can be set, which may take a privilege: on a socket that nobody will see. */
static int try_options(const struct wanted *wanted, struct report *report)
{
	const struct config_leg *leg = wanted->leg;
	struct socket_options common = endpoint_socket_options(wanted->endpoint);
	unsigned errors = report->count;
	int fd;

	config_hear(wanted->config, wanted->route, wanted->endpoint, leg, report);
	fd = socket_open(leg->family, &leg->options, &common);
	config_hear_nothing();
	if (fd < 0)
		return report->count == errors ? complain(wanted, "setsockopt", fd, report) : fd;
	close(fd);
	return 0;
}

static void keep_for(uint32_t index, const struct wanted *wanted)
{
	plan[index].kept = true;
	plan[index].route = wanted->route_index;
	plan[index].endpoint = wanted->endpoint_index;
	plan[index].leg = wanted->leg_index;
}

/* An upgrade may have brought more threads. */
static bool fits(const struct ledger *ledger, const struct ledger_listener *record, const struct wanted *wanted)
{
	uint32_t readers = is_for_each(wanted) ? ledger->n_threads : 1;

	return record->state == LISTENER_WAITING ||
	       (record->state == LISTENER_OPEN && (record->n_fds == readers || (record->shared && record->n_fds == 1)));
}

/* Several may fit, as feeds do: each route keeps its own, and its sessions with it. */
static bool is_its_own(const struct ledger_listener *record, const struct wanted *wanted, struct generation *generation)
{
	const struct config_route *route = generation_route(generation->next, record->generation, record->route);
	const struct config_endpoint *endpoint = generation_listens(generation->next, record);

	return route && endpoint && !strcmp(route->name, wanted->route->name) && endpoint->digest == wanted->endpoint->digest;
}

static int find_its_own(struct ledger *ledger, const struct wanted *wanted, struct generation *generation, struct report *report)
{
	uint64_t digest = config_leg_digest(wanted->endpoint, wanted->leg);
	uint32_t i;

	(void)report;
	for (size_t at = 0; index_next(&search.records, digest, &at, &i);)
		if (!plan[i].kept && fits(ledger, &ledger->listeners[i], wanted) && is_its_own(&ledger->listeners[i], wanted, generation)) {
			keep_for(i, wanted);
			return 0;
		}
	return 0;
}

static bool is_kept_for(uint32_t index, const struct wanted *wanted)
{
	return plan[index].kept && plan[index].route == wanted->route_index && plan[index].endpoint == wanted->endpoint_index &&
	       plan[index].leg == wanted->leg_index;
}

static int find_or_open(struct ledger *ledger, const struct wanted *wanted, struct generation *generation, struct report *report)
{
	uint64_t digest = config_leg_digest(wanted->endpoint, wanted->leg);
	const struct ledger_listener *record = NULL;
	uint32_t found = 0, i;

	for (size_t at = 0; index_next(&search.records, digest, &at, &i);) {
		if (!is_kept_for(i, wanted) && (record || plan[i].kept || !fits(ledger, &ledger->listeners[i], wanted)))
			continue;
		record = &ledger->listeners[i];
		found = i;
		if (is_kept_for(i, wanted))
			break;
	}
	if (!record)
		return open_leg(ledger, wanted, generation, report);
	keep_for(found, wanted);
	return record->state == LISTENER_WAITING || record->live_digest == config_leg_live_digest(wanted->endpoint, wanted->leg)
		       ? 0
		       : try_options(wanted, report);
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
		if (ledger->listeners[i].state == LISTENER_OPEN || ledger->listeners[i].state == LISTENER_WAITING)
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

int listen_prepare(struct ledger *ledger, struct generation *generation, struct report *report)
{
	int r;

	memset(plan, 0, sizeof plan);
	r = begin_search(ledger);
	if (!r)
		r = for_each_leg(ledger, generation, report, find_its_own);
	count_spare(ledger, generation);
	if (!r)
		r = for_each_leg(ledger, generation, report, find_or_open);
	if (r < 0)
		listen_cancel(ledger, generation);
	end_search();
	return r;
}

void listen_take_over(struct ledger *ledger, struct generation *newest)
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
	group_take_over(ledger);
}

/* LIVE options on an open socket. A refusal is the log's: the generation runs already. */
static void apply_live(struct ledger_listener *record, struct generation *newest)
{
	const struct config_route *route = &newest->config->routes[record->route];
	const struct config_endpoint *endpoint = &route->listen[record->endpoint];
	const struct config_leg *leg = &endpoint->legs[record->leg];
	const struct family *family = leg->family;
	struct socket_options common = endpoint_socket_options(endpoint);

	for (uint32_t k = 0; k < ledger_sockets(record); k++) {
		int r = socket_change(record->fds[k], family, leg->row, &common);

		if (!r && family->plugin.prepare)
			r = (int)CALLBACK(family, prepare, family->plugin.prepare(record->fds[k], &leg->options));
		if (!r && family->plugin.bound)
			r = (int)CALLBACK(family, bound, family->plugin.bound(record->fds[k], &leg->options));
		if (!r && !socket_has_no_connections(leg->row) && listen(record->fds[k], endpoint_backlog(endpoint, record->leg)) < 0)
			r = -errno;
		if (r < 0)
			log_warning("route %s: %s keeps an option as it was: %s", route->name, endpoint->text,
				    strerror(-r));
	}
}

static void keep(struct ledger_listener *record, uint32_t index, struct generation *newest)
{
	const struct config_endpoint *endpoint = &newest->config->routes[plan[index].route].listen[plan[index].endpoint];
	uint64_t live = config_leg_live_digest(endpoint, &endpoint->legs[plan[index].leg]);

	record->generation = newest->number;
	record->route = plan[index].route;
	record->endpoint = plan[index].endpoint;
	record->leg = plan[index].leg;
	record->deaths = 0;
	record->paused = PAUSE_NONE;
	if (record->live_digest != live)
		apply_live(record, newest);
	record->live_digest = live;
}

/* Whom nobody new reaches anyhow, those may go on to reach who have a connection. */
static void leave_as_it_is(struct ledger_listener *record)
{
	record->waits = 0;
	record->leaving_since = (uint32_t)(clock_monotonic() / NSEC_PER_SEC);
	atomic_store(&record->state, LISTENER_LEAVING);
}

static void leave(struct ledger_listener *record, struct generation *newest)
{
	const struct config_endpoint *endpoint = generation_listens(newest, record);
	const struct config_leg *leg = generation_listens_by(newest, record);

	remove_traces(record, newest);
	for (uint32_t k = 0; k < ledger_sockets(record) && !(endpoint && is_passed(endpoint)); k++) {
		if (leg && leg->row->capabilities & SPLICED_CONNECTIONLESS)
			socket_stop_datagrams(record->fds[k]);
		else if (!record->group)
			socket_stop_syn(record->fds[k]);
	}
	leave_as_it_is(record);
}

/* What was prepared is opened to clients. Who took its place in the meantime keeps it, and is waited for. */
static void go(struct ledger *ledger, struct ledger_listener *record, struct generation *newest)
{
	const struct config_route *route = generation_route(newest, record->generation, record->route);
	const struct config_endpoint *endpoint = generation_listens(newest, record);
	const struct config_leg *leg = generation_listens_by(newest, record);
	struct socket_failure failure = {.call = "listen"};
	int r = -record->waits;

	if (!leg) {
		close_record(record);
		return;
	}
	for (uint32_t k = 0; k < ledger_sockets(record) && !r && !is_passed(endpoint); k++)
		r = socket_listen(record->fds[k], leg->family, &leg->options, &leg->address, endpoint_backlog(endpoint, record->leg), &failure);
	if (!r) {
		group_join(record);
		atomic_store(&record->state, LISTENER_OPEN);
		return;
	}
	if (record->n_fds) {
		log_error("route %s: %s %s: %s", route->name, failure.call, endpoint->text, strerror(-r));
		take_back(ledger, record, newest);
	}
	wait_for(ledger, record, r, LISTENER_WAITING);
}

static void open_pending(struct ledger *ledger, struct generation *newest)
{
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state == LISTENER_PENDING)
			go(ledger, &ledger->listeners[i], newest);
}

void listen_open(struct ledger *ledger, struct generation *newest)
{
	open_pending(ledger, newest);
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++) {
		if (replaced[i] && ledger->listeners[i].state == LISTENER_OPEN)
			leave_as_it_is(&ledger->listeners[i]);
		replaced[i] = false;
	}
	group_settle(ledger);
}

/* What comes listens before what goes does not. */
void listen_commit(struct ledger *ledger, struct generation *newest)
{
	uint32_t high = ledger_listeners_high(ledger);

	for (uint32_t i = 0; i < high; i++)
		if (ledger->listeners[i].state != LISTENER_FREE && plan[i].kept)
			keep(&ledger->listeners[i], i, newest);
	open_pending(ledger, newest);
	for (uint32_t i = 0; i < high; i++) {
		struct ledger_listener *record = &ledger->listeners[i];

		if (record->generation == newest->number)
			continue;
		if (record->state == LISTENER_OPEN)
			leave(record, newest);
		else if (record->state == LISTENER_WAITING)
			atomic_store(&record->state, LISTENER_FREE);
	}
	group_settle(ledger);
}

/* One that waits opens in its own record, one that has lost its place in another: until then it is accepted from. */
static int try_again(struct ledger *ledger, uint32_t index, const struct wanted *wanted, struct generation *newest, struct report *report)
{
	struct ledger_listener *record = &ledger->listeners[index], *next = record;
	bool lost = record->state == LISTENER_OPEN;
	int r;

	if (lost) {
		next = free_record(ledger);
		if (!next)
			return -ENOSPC;
		next->shared = record->shared;
	}
	r = try_record(ledger, next, wanted, newest, report);
	replaced[index] = lost && !r;
	if (r && lost)
		place_wait(ledger, record, r);
	else if (r)
		wait_for(ledger, record, r, LISTENER_WAITING);
	return r;
}

bool listen_try(struct ledger *ledger, struct generation *newest)
{
	bool come = false;

	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++) {
		struct ledger_listener *record = &ledger->listeners[i];
		struct wanted wanted = {.config = newest->config, .route = generation_route(newest, newest->number, record->route),
					.endpoint = generation_listens(newest, record), .leg = generation_listens_by(newest, record),
					.route_index = record->route, .endpoint_index = record->endpoint, .leg_index = record->leg};
		bool is_due = record->state == LISTENER_WAITING || (record->state == LISTENER_OPEN && record->waits);
		struct report report = {0};
		int r, before = record->waits;

		if (!is_due || record->generation != newest->number || !wanted.leg)
			continue;
		r = try_again(ledger, i, &wanted, newest, &report);
		if (r && r != -before)
			log_lines(LOG_WARNING, "", report.text);
		come |= !r;
		report_done(&report);
	}
	end_search();
	return come;
}

void listen_end(struct ledger *ledger, struct generation *newest)
{
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		if (ledger->listeners[i].state == LISTENER_OPEN)
			remove_traces(&ledger->listeners[i], newest);
}
