/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The log shows what happened, not what was configured: the address that a name had, the one
 * that the client asked, the targets tried before. */
#include "dispatch/session_log.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "dispatch/arrival.h"
#include "dispatch/demand.h"
#include "dispatch/ratelimit.h"
#include "ledger/generation.h"
#include "net/socket.h"
#include "session/endpoint_socket.h"
#include "session/lane.h"
#include "session/thread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { NUMBER_MAX = 24, TRIED_MAX = 256, PLACE_MAX = 256, REASON_MAX = 640 };

/* The fields of a session's line, as long as it is written. */
struct told_session {
	struct log_entry entry;
	const char *who; /* peer, or a word in its place */
	char peer[ADDRESS_TEXT_MAX], local[ADDRESS_TEXT_MAX], target[ADDRESS_TEXT_MAX];
	char id[NUMBER_MAX], to_target[NUMBER_MAX], from_target[NUMBER_MAX], duration[NUMBER_MAX];
	char tried[TRIED_MAX];
};

static const char *reason_of(const struct session *session, enum session_end why, int error)
{
	const struct ledger_session *record = session_record(session);

	if (!error || why == END_CLIENT_RESET || why == END_TARGET_RESET || why == END_LOOP)
		return "";
	if (error == -EADDRNOTAVAIL && session->route->targets[record->target].legs[0].host_name)
		return "its name does not resolve";
	return strerror(-error);
}

static const char *peer_of(const struct session *session, char text[ADDRESS_TEXT_MAX])
{
	const struct ledger_session *record = session_record(session);
	const struct config_leg *leg = session_leg(session, 0);
	struct address address = {.len = session->peer_len};

	memcpy(&address.storage, session->peer, session->peer_len);
	if (address.len)
		return endpoint_socket_describe(session_endpoint(session, 0), leg, &address, text,
						ADDRESS_TEXT_MAX);
	if (record->front == FRONT_ACCEPTED)
		return "a client";
	if (lane_is(session))
		return "(any)";
	return session_is_handed_in(session) ? "(unnamed)" : session_endpoint(session, 0)->name;
}

/* What an accepted client asked. */
static void find_local(const struct session *session, char text[ADDRESS_TEXT_MAX])
{
	const struct ledger_session *record = session_record(session);
	const struct config_leg *leg = session_leg(session, 0);
	struct address address;

	if (record->front != FRONT_ACCEPTED || record->fd[0] < 0 ||
	    socket_local_address(record->fd[0], &address) < 0)
		return;
	socket_fill_port(&address, &leg->address);
	endpoint_socket_describe(session_endpoint(session, 0), leg, &address, text,
				 ADDRESS_TEXT_MAX);
}

void session_log_reached(struct session *session, const struct address *address)
{
	if (!session->thread->worker->log_sessions || !session_leg(session, 1)->host_name ||
	    address->len > sizeof session->reached)
		return;
	session->reached_len = (uint8_t)address->len;
	memcpy(session->reached, &address->storage, address->len);
}

static void find_target(const struct session *session, char text[ADDRESS_TEXT_MAX])
{
	const struct config_leg *leg = session_leg(session, 1);
	struct address address = leg->address;

	if (session_record(session)->state != SESSION_RELAYING)
		return;
	if (leg->host_name) {
		address.len = session->reached_len;
		memcpy(&address.storage, session->reached, session->reached_len);
	}
	if (address.len && !leg->host_name)
		arrival_aim(session, &address);
	if (address.len)
		endpoint_socket_describe(
			session_endpoint(session, 1), leg,
			leg->host_name || session_endpoint(session, 1)->follows_port ? &address
										     : NULL,
			text, ADDRESS_TEXT_MAX);
}

static void find_tried(const struct session *session, char text[TRIED_MAX])
{
	size_t used = 0;

	for (unsigned i = 0; i < session->n_tried && used < TRIED_MAX; i++)
		used += (size_t)snprintf(text + used, TRIED_MAX - used, "%s%s: %s", i ? "; " : "",
					 session->route->targets[session->tried[i].target].name,
					 strerror(session->tried[i].error));
}

static void fill(struct told_session *told, const struct session *session, enum session_end why,
		 const char *reason)
{
	const struct ledger_session *record = session_record(session);
	struct log_entry *entry = &told->entry;

	told->who = peer_of(session, told->peer);
	find_local(session, told->local);
	find_target(session, told->target);
	find_tried(session, told->tried);
	snprintf(told->id, NUMBER_MAX, "%u.%u",
		 (unsigned)(record - session->thread->worker->ledger->sessions), record->serial);
	snprintf(told->to_target, NUMBER_MAX, "%llu",
		 (unsigned long long)record->direction[0].bytes);
	snprintf(told->from_target, NUMBER_MAX, "%llu",
		 (unsigned long long)record->direction[1].bytes);
	snprintf(told->duration, NUMBER_MAX, "%llu",
		 (unsigned long long)(session->thread->loop.now - record->opened) / 1000);
	entry->event = EVENT_SESSION_ENDED;
	log_add_field(entry, "ROUTE", session->route->name);
	log_add_field(entry, "SESSION", told->id);
	log_add_field(entry, "PEER", told->who);
	log_add_field(entry, "LISTENER", session_endpoint(session, 0)->text);
	log_add_field(entry, "LOCAL", told->local);
	log_add_field(entry, "TARGET", session->route->targets[record->target].name);
	log_add_field(entry, "TARGET_ADDRESS", told->target);
	log_add_field(entry, "TRIED", told->tried);
	log_add_field(entry, "REASON", session_end_name(why));
	log_add_field(entry, "ERROR", reason);
	log_add_field(entry, "BYTES_TO_TARGET", told->to_target);
	log_add_field(entry, "BYTES_FROM_TARGET", told->from_target);
	log_add_field(entry, "DURATION_USEC", told->duration);
}

/* Leaves out what the listener's or the target's own text contains already. */
static const char *unless_said(const char *text, const struct config_endpoint *endpoint)
{
	return strstr(endpoint->text, text) ? "" : text;
}

void session_log_end(const struct session *session, enum session_end why, int error)
{
	const struct ledger_session *record = session_record(session);
	const struct config_endpoint *target = &session->route->targets[record->target];
	struct told_session told = {.entry.n_fields = 0};
	const char *reason, *asked, *reached;
	char text[REASON_MAX];

	if (!session->thread->worker->log_sessions || log_level() < LOG_INFO)
		return;
	reason = reason_of(session, why, error);
	if (why == END_UNREACHABLE || why == END_CONNECT_TIMEOUT)
		reason = demand_explain(session, reason, text, sizeof text);
	fill(&told, session, why, reason);
	asked = unless_said(told.local, session_endpoint(session, 0));
	reached = unless_said(told.target, target);
	log_event(
		LOG_INFO, &told.entry,
		"route %s: %s to %s: %s%s%s, %llu bytes to the target, %llu back, %.3f s%s%s%s%s%s%s%s",
		session->route->name, told.who, target->name, session_end_name(why),
		*reason ? ": " : "", reason, (unsigned long long)record->direction[0].bytes,
		(unsigned long long)record->direction[1].bytes,
		(double)(session->thread->loop.now - record->opened) / NSEC_PER_SEC,
		*asked ? "; to " : "", asked, *reached ? "; the target was " : "", reached,
		*told.tried ? "; failed before (" : "", told.tried, *told.tried ? ")" : "");
}

void session_log_stop(struct ledger *ledger, struct generation *generations)
{
	struct worker worker = {
		.ledger = ledger,
		.generations = generations,
		.log_sessions = generations->config->daemon[DAEMON_LOG_SESSIONS].value.number != 0};
	struct thread thread = {.worker = &worker, .loop.now = clock_monotonic()};

	for (uint32_t i = 0; worker.log_sessions && i < ledger_sessions_high(ledger); i++) {
		struct session session = {.thread = &thread,
					  .record = &ledger->sessions[i],
					  .flow = &ledger->flows[i]};
		struct address peer = {.len = 0};

		if (session.record->state != SESSION_CONNECTING &&
		    session.record->state != SESSION_RELAYING)
			continue;
		session.generation = generation_find(generations, session.record->generation);
		if (!session.generation)
			continue;
		session.route = &session.generation->config->routes[session.record->route];
		session_learn_peer(&session, &peer);
		session_log_end(&session, END_STOP, 0);
	}
}

void session_log_refused(const struct thread *thread, const struct generation *generation,
			 const struct config_route *route, const struct config_leg *leg,
			 const struct address *peer, const struct config_rule *rule)
{
	char text[ADDRESS_TEXT_MAX], place[PLACE_MAX] = "", times[RATELIMIT_TEXT_MAX];
	const char *who = peer->len
				  ? address_describe(leg->family, leg->row, peer, text, sizeof text)
				  : "a client";
	struct log_entry entry = {.event = EVENT_CLIENT_REFUSED};
	uint32_t count;

	if (log_level() < LOG_INFO ||
	    !ratelimit_allows(thread, RATELIMIT_REFUSED,
			      generation->route_slots[route - generation->config->routes], &count))
		return;
	if (rule)
		config_location_text(generation->config, rule->location, place, sizeof place);
	log_add_field(&entry, "ROUTE", route->name);
	log_add_field(&entry, "PEER", who);
	log_add_field(&entry, "RULE", rule ? rule->text : NULL);
	log_add_field(&entry, "PLACE", place);
	log_event(LOG_INFO, &entry, "route %s: %s is refused: %s%s%s%s%s", route->name, who,
		  rule ? "deny \"" : "no rule of allow matches", rule ? rule->text : "",
		  rule ? "\" at " : "", place, ratelimit_times(count, times));
}
