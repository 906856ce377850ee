/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * No worker runs: prepared listeners open, kept ones move to the new generation, the others leave.
 * Clients see no gap: new sockets listen before old ones stop.
 */
#include "keeper/listener_set.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "keeper/job.h"
#include "keeper/listener_plan.h"
#include "keeper/opening.h"
#include "keeper/reuseport.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/original.h"
#include "net/family.h"
#include "net/scope.h"
#include "net/socket.h"
#include "session/endpoint_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* LIVE options on an open socket. A refusal is only logged: the generation runs already. The
 * family's own options follow, set by a child. */
static void apply_live(struct ledger *ledger, struct ledger_listener *record,
		       struct generation *newest)
{
	const struct config_route *route = &newest->config->routes[record->route];
	const struct config_endpoint *endpoint = &route->listen[record->endpoint];
	const struct config_leg *leg = &endpoint->legs[record->leg];
	struct socket_options common = endpoint_socket_options(endpoint);

	for (uint32_t k = 0; k < ledger_sockets(record); k++) {
		int r = socket_change(record->fds[k], leg->row, &common);

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

static void keep(struct ledger *ledger, struct ledger_listener *record,
		 const struct listener_plan *plan, struct generation *newest)
{
	const struct config_endpoint *endpoint =
		&newest->config->routes[plan->route].listen[plan->endpoint];
	uint64_t live = config_leg_live_digest(endpoint, &endpoint->legs[plan->leg]);

	record->generation = newest->number;
	record->route = plan->route;
	record->endpoint = plan->endpoint;
	record->leg = plan->leg;
	record->deaths = 0;
	record->paused = PAUSE_NONE;
	if (record->live_digest != live)
		apply_live(ledger, record, newest);
	record->live_digest = live;
}

/* No new peer reaches these sockets anyway; existing connections may continue to use them. */
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

/* Opens to clients what was prepared. If another process has taken its place in the meantime, it
 * waits for it. */
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
			r = socket_listen(record->fds[k], leg->row, &address,
					  endpoint_socket_backlog(endpoint, record->leg), &failure);
	}
	if (!r) {
		if (record->n_fds && socket_is_bound_late(leg->row) && leg->family->plugin.bound)
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

/* Starts the families' jobs for changed, new and leaving listeners; then those that could not be
 * opened wait. */
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
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		if (listener_plan_take_replaced(i) && ledger->listeners[i].state == LISTENER_OPEN)
			leave_as_it_is(&ledger->listeners[i]);
	end_change(ledger);
}

/* What comes listens before what goes does not. */
void listener_set_commit(struct ledger *ledger, struct generation *newest)
{
	uint32_t high = ledger_listeners_high(ledger);

	for (uint32_t i = 0; i < high; i++)
		if (ledger->listeners[i].state != LISTENER_FREE && listener_plan_of(i))
			keep(ledger, &ledger->listeners[i], listener_plan_of(i), newest);
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
