/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verbs. They read the ledger as it is at that moment; an action is requested from the owner of
 * the record. Operator commands for routes and targets are in operate.c. */
#include "control/verbs.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config.h"
#include "config/needs.h"
#include "control/live.h"
#include "control/operate.h"
#include "control/refusal.h"
#include "control/status.h"
#include "control/sums.h"
#include "control/targets.h"
#include "control/words.h"
#include "dispatch/listener.h"
#include "dispatch/places.h"
#include "dispatch/queue.h"
#include "dispatch/target.h"
#include "ledger/generation.h"
#include "ledger/glance.h"
#include "ledger/unit.h"
#include "net/socket.h"
#include "session/endpoint_socket.h"
#include "session/hand.h"
#include "session/lane.h"
#include "session/session.h"
#include "session/thread.h"

#include <cap-ng.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *list_answer(const char *name, json_t *list)
{
	return json_pack("{s:b, s:o}", "ok", 1, name, list);
}

static json_t *unit_object(const struct ledger_unit *unit, const char *name)
{
	const char *problem = unit ? unit_problem_text(unit->problem) : "";

	if (!unit)
		return json_null();
	return json_pack("{s:s, s:s, s:b, s:o}", "name", name, "state",
			 unit_state_name(unit->state), "started", unit->owner == UNIT_OURS,
			 "problem", words_json(*problem ? problem : NULL));
}

/* A place of a name has one of its own. */
static const char *address_text(const struct ledger *ledger, const struct config_endpoint *endpoint,
				uint32_t slot, char text[ADDRESS_TEXT_MAX])
{
	struct address address;
	unsigned leg;
	char *port;

	if (!endpoint->place || !target_address(ledger, endpoint, slot, 0, &leg, &address))
		return endpoint->text;
	endpoint_socket_describe(endpoint, &endpoint->legs[leg], &address, text, ADDRESS_TEXT_MAX);
	port = strrchr(text, ':');
	if (endpoint->follows_port && port)
		snprintf(port + 1, (size_t)(text + ADDRESS_TEXT_MAX - port - 1), "+%u",
			 endpoint->port_offset);
	return text;
}

static json_t *targets_of(const struct ledger *ledger, const struct generation *generation,
			  unsigned route, const uint32_t *sessions)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < generation->config->routes[route].n_targets; i++) {
		const struct config_endpoint *endpoint =
			&generation->config->routes[route].targets[i];
		uint32_t slot = generation->target_slots[route][i];
		const struct ledger_target *target = &ledger->targets[slot];
		bool left = places_is_left(ledger, generation, route, i),
		     down = !left && target_has_failed(ledger, endpoint, slot);
		char text[TARGET_TEXT_MAX], address[ADDRESS_TEXT_MAX];

		if (!places_show(ledger, generation, route, i))
			continue;
		json_array_append_new(
			list,
			json_pack(
				"{s:o, s:o, s:s, s:o, s:o, s:i, s:i, s:I, s:i, s:i, s:b, s:i, s:i, s:o, s:o, s:o}",
				"name", words_json(endpoint->name), "address",
				words_json(address_text(ledger, endpoint, slot, address)), "state",
				left   ? "left"
				: down ? "down"
				       : "up",
				"why",
				down ? words_json(target_tell_failure(target, text)) : json_null(),
				"since", targets_since(target, down), "sessions",
				(int)sessions[slot], "failures", (int)target->failures, "downs",
				(json_int_t)target->downs, "weight",
				(int)target_weight(target, &endpoint->member), "priority",
				(int)target_priority(target, &endpoint->member), "backup",
				endpoint->member.backup, "active", (int)target->active,
				"max_sessions", (int)endpoint->member.max_sessions, "hand",
				operate_state(target->hand), "unit",
				unit_object(generation_unit(generation, ledger, route, i),
					    endpoint->unit),
				"check", targets_check(&target->check, endpoint->health)));
	}
	return list;
}

static json_t *route_object(const struct worker *worker, unsigned index, const struct live *live)
{
	const struct ledger *ledger = worker->ledger;
	struct generation *generations = worker->generations;
	const struct config *config = generations->config;
	const struct config_route *route = &config->routes[index];
	const char *title = route->values[ROUTE_TITLE].value.text;
	uint32_t slot = generations->route_slots[index];
	json_t *listen = json_array(), *dial = json_array(),
	       *targets = targets_of(ledger, generations, index, live->sessions);
	char place[512], pause[STATUS_PAUSE_MAX];
	struct sums sums;
	json_t *object;

	for (unsigned i = 0; i < route->n_listen; i++)
		json_array_append_new(listen, words_json(route->listen[i].text));
	for (unsigned i = 0; i < route->n_dial; i++)
		json_array_append_new(dial, words_json(route->dial[i].text));
	status_route_pause(&ledger->routes[slot], pause);
	object = json_pack(
		"{s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:i, s:{s:i, s:i, s:i}, s:I, s:o, s:o}",
		"name", route->name, "title", words_json(title), "enabled", route->enabled, "place",
		words_json(config_location_text(config, route->location, place, sizeof place)),
		"listen", listen, "dial", dial, "targets", targets, "spare",
		(int)(route->n_targets - json_array_size(targets)), "sessions", "active",
		(int)ledger->routes[slot].active, "limit", (int)route->limit_sessions, "queued",
		(int)queue_count(worker, slot), "deaths",
		(json_int_t)ledger->routes[slot].deaths_total, "paused",
		words_json(*pause ? pause : NULL), "hand",
		operate_state(ledger->routes[slot].hand));
	sums_of_route(&sums, ledger, live, slot);
	sums_write(&sums, object);
	return object;
}

static json_t *verb_routes(struct thread *clerk, const json_t *request)
{
	struct worker *worker = clerk->worker;
	json_t *list = json_array();
	struct live live = {0};
	int r = live_count(&live, worker->ledger, worker->generations);

	(void)request;
	for (unsigned i = 0; !r && i < worker->generations->config->n_routes; i++)
		json_array_append_new(list, route_object(worker, i, &live));
	live_done(&live);
	return list_answer("routes", list);
}

static json_t *verb_targets(struct thread *clerk, const json_t *request)
{
	struct worker *worker = clerk->worker;
	const struct generation *newest = worker->generations;
	json_t *list = json_array();
	struct live live = {0};
	int r = live_count(&live, worker->ledger, worker->generations);

	(void)request;
	for (unsigned i = 0; !r && i < newest->config->n_routes; i++) {
		json_t *targets = targets_of(worker->ledger, newest, i, live.sessions);

		for (size_t k = 0; k < json_array_size(targets); k++)
			json_object_set_new(json_array_get(targets, k), "route",
					    json_string(newest->config->routes[i].name));
		json_array_extend(list, targets);
		json_decref(targets);
	}
	live_done(&live);
	return list_answer("targets", list);
}

static json_t *listener_object(const struct ledger_listener *record,
			       const struct generation *generation)
{
	const struct config_route *route = &generation->config->routes[record->route];
	const struct config_leg *leg = &route->listen[record->endpoint].legs[record->leg];
	bool waits = record->state == LISTENER_WAITING ||
		     (record->state == LISTENER_OPEN && record->waits);
	const char *state = record->state == LISTENER_LEAVING ? "leaving"
			    : waits			      ? "waiting"
			    : record->paused		      ? "paused"
							      : "listening";
	char address[ADDRESS_TEXT_MAX], text[ADDRESS_TEXT_MAX + 64];

	snprintf(text, sizeof text, "%s://%s",
		 leg->row->scheme ? leg->row->scheme : leg->family->name,
		 endpoint_socket_describe(&route->listen[record->endpoint], leg, NULL, address,
					  sizeof address));
	return json_pack("{s:s, s:o, s:s, s:o, s:i, s:I, s:i}", "route", route->name, "address",
			 words_json(text), "state", state, "reason",
			 waits		  ? json_string(status_wait_text(record->waits))
			 : record->paused ? json_string(listener_pause_name(record->paused))
			 : record->shared
				 ? json_string("one socket for all threads: not enough descriptors")
				 : json_null(),
			 "sockets", (int)record->n_fds, "accepted", (json_int_t)record->accepted,
			 "generation", (int)record->generation);
}

static json_t *verb_listeners(struct thread *clerk, const json_t *request)
{
	const struct ledger *ledger = clerk->worker->ledger;
	json_t *list = json_array();

	(void)request;
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++) {
		const struct generation *generation;
		struct ledger_listener record;

		if (!glance_listener(ledger, i, &record))
			continue;
		generation = generation_find(clerk->worker->generations, record.generation);
		if (!generation)
			continue;
		hand_route(clerk, generation->route_slots[record.route]);
		json_array_append_new(list, listener_object(&record, generation));
		hand_empty(clerk);
	}
	return list_answer("listeners", list);
}

/* NULL: for nothing but what comes next. */
static const char *waits_for(const struct ledger_session *record, const struct ledger_flow *flow)
{
	if (queue_has_record(record, flow))
		return "a place at a target";
	if (record->state == SESSION_CONNECTING)
		return record->fd[1] >= 0 ? "the target to answer" : "the next attempt";
	if (record->state != SESSION_RELAYING)
		return NULL;
	if (record->direction[0].pipe >= 0)
		return "the target to read";
	if (record->direction[1].pipe >= 0)
		return "the client to read";
	return NULL;
}

static const char *state_name(const struct ledger_session *record)
{
	if (record->state == SESSION_CONNECTING)
		return "connecting";
	if (record->state != SESSION_RELAYING)
		return "ending";
	return (record->direction[0].flags | record->direction[1].flags) & DIRECTION_EOF
		       ? "half-closed"
		       : "relaying";
}

static double age(uint64_t then)
{
	uint64_t now = clock_monotonic();

	return now > then ? (double)(now - then) / NSEC_PER_SEC : 0;
}

/* The socket is another thread's, and may be closed while we look: a peer whose address is no
 * longer known is "?". */
static const char *peer_text(const struct ledger_session *record, const struct ledger_flow *flow,
			     const struct config_route *route, char *text, size_t size)
{
	const struct config_endpoint *endpoint = record->front == FRONT_DIALED
							 ? &route->dial[record->endpoint]
							 : &route->listen[record->endpoint];
	const struct config_leg *leg = &endpoint->legs[record->leg];
	struct address peer = {.len = 0};

	if (record->front == FRONT_FED && leg->row->capabilities & SPLICED_FEED) {
		snprintf(text, size, "%s", endpoint->name);
		return text;
	}
	if (record->front == FRONT_FED) {
		peer.len = flow->peer_len < LEDGER_PEER_MAX ? flow->peer_len : LEDGER_PEER_MAX;
		if (!peer.len)
			return strcpy(text,
				      lane_is_record(route, record, flow) ? "(any)" : "(unnamed)");
		memcpy(&peer.storage, flow->peer, LEDGER_PEER_MAX);
	} else if (socket_peer_address(record->fd[0], &peer) < 0) {
		return strcpy(text, "?");
	}
	return endpoint_socket_describe(endpoint, leg, &peer, text, size);
}

struct session_filter {
	const char *route, *peer;
};

static void append_session(json_t *list, const struct thread *clerk, uint32_t slot,
			   const struct session_filter *filter)
{
	const struct ledger_flow *flow = &clerk->worker->ledger->flows[slot];
	const struct generation *generation;
	const struct config_route *route;
	struct ledger_session copy, *record = &copy;
	char peer[ADDRESS_TEXT_MAX], id[32];

	if (!glance_session(clerk->worker->ledger, slot, record))
		return;
	generation = generation_find(clerk->worker->generations, record->generation);
	if (!generation)
		return;
	route = &generation->config->routes[record->route];
	hand_route(clerk, generation->route_slots[record->route]);
	peer_text(record, flow, route, peer, sizeof peer);
	hand_empty(clerk);
	if ((filter->route && strcmp(filter->route, route->name)) ||
	    (filter->peer && strncmp(filter->peer, peer, strlen(filter->peer))))
		return;
	snprintf(id, sizeof id, "%u.%u", slot, record->serial);
	json_array_append_new(
		list,
		json_pack(
			"{s:s, s:s, s:o, s:o, s:f, s:f, s:{s:I, s:I}, s:{s:I, s:I}, s:s, s:o, s:i, s:i}",
			"id", id, "route", route->name, "peer", words_json(peer), "target",
			words_json(route->targets[record->target].name), "age", age(record->opened),
			"idle", age(record->active), "bytes", "to_target",
			(json_int_t)record->direction[0].bytes, "from_target",
			(json_int_t)record->direction[1].bytes, "messages", "to_target",
			(json_int_t)flow->messages[0], "from_target", (json_int_t)flow->messages[1],
			"state", state_name(record), "waits_for",
			words_json(waits_for(record, flow)), "thread", (int)record->thread,
			"generation", (int)record->generation));
}

/* Whether a generation in use has the route; a session of one that is gone from the newest may
 * still run. */
static bool has_route(const struct worker *worker, const char *name)
{
	for (const struct generation *generation = worker->generations; generation;
	     generation = generation->next)
		for (unsigned i = 0; i < generation->config->n_routes; i++)
			if (!strcmp(generation->config->routes[i].name, name))
				return true;
	return false;
}

static json_t *verb_sessions(struct thread *clerk, const json_t *request)
{
	struct session_filter filter = {
		.route = json_string_value(json_object_get(request, "route")),
		.peer = json_string_value(json_object_get(request, "peer")),
	};
	json_t *list;

	if (filter.route && !has_route(clerk->worker, filter.route))
		return refusal_route(clerk->worker->generations->config, filter.route);
	list = json_array();
	for (uint32_t i = 0; i < ledger_sessions_high(clerk->worker->ledger); i++)
		append_session(list, clerk, i, &filter);
	return list_answer("sessions", list);
}

static json_t *verb_kill(struct thread *clerk, const json_t *request)
{
	const char *id = json_string_value(json_object_get(request, "id"));
	struct ledger *ledger = clerk->worker->ledger;
	unsigned slot, serial;
	const struct ledger_session *record;
	struct thread *thread;
	uint64_t nothing = 0;
	char rest;

	if (!id || sscanf(id, "%u.%u%c", &slot, &serial, &rest) != 2)
		return refusal_say("kill requires an id as printed by `sessions`, such as 12.3");
	if (slot >= ledger->n_sessions || ledger->sessions[slot].serial != serial ||
	    ledger->sessions[slot].state < SESSION_CONNECTING)
		return refusal_say("there is no session %s; it may have ended", id);
	record = &ledger->sessions[slot];
	thread = &clerk->worker->threads[record->thread];
	if (!atomic_compare_exchange_strong(&thread->kill, &nothing,
					    (uint64_t)serial << 32 | (slot + 1)))
		return refusal_say("its thread is ending another session; try again");
	thread_wake(thread);
	return json_pack("{s:b}", "ok", 1);
}

static json_t *verb_log_level(struct thread *clerk, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "level"));
	int level = name ? log_level_from_name(name) : -1;

	if (level < 0)
		return refusal_say("log-level must be error, warning, notice, info or debug");
	atomic_store(&clerk->worker->ledger->keeper->log_level, level);
	return json_pack("{s:b, s:s}", "ok", 1, "level", log_level_name(level));
}

static json_t *verb_status(struct thread *clerk, const json_t *request)
{
	(void)request;
	return status_object(clerk->worker);
}

/* Reached only where there is no keeper to ask. */
static json_t *verb_reload(struct thread *clerk, const json_t *request)
{
	(void)clerk, (void)request;
	return refusal_say("this spliced runs with --single and has no keeper: restart it");
}

json_t *verb_reload_result(const struct ledger *ledger)
{
	const struct ledger_keeper *keeper = ledger->keeper;

	if (!keeper->reload_ok)
		return json_pack("{s:b, s:o, s:i}", "ok", 0, "error", words_json(ledger->text),
				 "exit", 1);
	return json_pack("{s:b, s:i, s:b}", "ok", 1, "generation", (int)keeper->generation,
			 "changed", keeper->reload_changed);
}

static const char *domain_name(int domain)
{
	static const struct {
		int domain;
		const char *name;
	} names[] = {
		{AF_UNIX, "AF_UNIX"},	  {AF_INET, "AF_INET"},
		{AF_INET6, "AF_INET6"},	  {AF_NETLINK, "AF_NETLINK"},
		{AF_PACKET, "AF_PACKET"}, {AF_BLUETOOTH, "AF_BLUETOOTH"},
		{AF_VSOCK, "AF_VSOCK"},	  {AF_TIPC, "AF_TIPC"},
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].domain == domain)
			return names[i].name;
	return NULL;
}

struct taken {
	json_t *families;
	bool others; /* a family whose name is not known here */
	bool internet;
	bool files; /* sockets with names */
	bool gives; /* files to other users or groups */
};

static void take(struct taken *taken, const char *name)
{
	json_t *one;
	size_t i;

	json_array_foreach(taken->families, i,
			   one) if (!strcmp(json_string_value(one), name)) return;
	json_array_append_new(taken->families, json_string(name));
}

/* By options of these names. */
static bool gives_file(const struct config_leg *leg)
{
	for (uint32_t i = 0; i < leg->family->plugin.n_options; i++)
		if ((!strcmp(leg->family->options[i].name, "owner") ||
		     !strcmp(leg->family->options[i].name, "group")) &&
		    leg->values[i].value.state == SPLICED_SET)
			return true;
	return false;
}

static void take_families(const struct config_endpoint *endpoint, void *data)
{
	struct taken *taken = data;

	for (unsigned i = 0; i < endpoint->n_legs; i++) {
		int domain = endpoint->legs[i].row->domain;
		const char *name = domain_name(domain);

		taken->internet |= domain == AF_INET || domain == AF_INET6;
		taken->others |= !name;
		if (name)
			take(taken, name);
		/* sock_diag(7) reports which file a socket is bound to. */
		if (domain == AF_UNIX && endpoint->role == SPLICED_LISTEN)
			taken->files = true;
		taken->gives |= domain == AF_UNIX && endpoint->role == SPLICED_LISTEN &&
				gives_file(&endpoint->legs[i]);
	}
}

/* Whether it has rules by users or groups, which can be distinguished only if all IDs are
 * mapped. */
static bool has_identities(const struct config *config)
{
	for (unsigned i = 0; i < config->n_routes; i++) {
		const struct config_route *route = &config->routes[i];

		for (unsigned k = 0; k < route->n_allow; k++)
			if (route->allow[k].kind != RULE_ADDRESS)
				return true;
		for (unsigned k = 0; k < route->n_deny; k++)
			if (route->deny[k].kind != RULE_ADDRESS)
				return true;
	}
	return false;
}

/* The keeper trims its own list, of which this worker has what there was at its start. */
static bool is_lived_in(const struct ledger *ledger, const struct generation *generation)
{
	for (int i = 0; i < LEDGER_GENERATIONS_MAX; i++)
		if (ledger->generations[i].number == generation->number)
			return true;
	return false;
}

/* What the generations in use take of the system's resources. */
static json_t *verb_harden(struct thread *clerk, const json_t *request)
{
	struct taken taken = {.families = json_array()};
	json_t *capabilities = json_array();
	bool identities = false;
	uint64_t needs = 0;

	(void)request;
	take(&taken, "AF_UNIX"); /* log, control, service manager */
	for (const struct generation *generation = clerk->worker->generations; generation;
	     generation = generation->next) {
		if (!is_lived_in(clerk->worker->ledger, generation))
			continue;
		needs |= needs_of_config(generation->config);
		needs_each_endpoint(generation->config, take_families, &taken);
		identities |= has_identities(generation->config);
		taken.gives |=
			generation->config->daemon[DAEMON_CONTROL_GROUP].value.state == SPLICED_SET;
	}
	if (taken.internet) { /* a name server may be in either */
		take(&taken, "AF_INET");
		take(&taken, "AF_INET6");
	}
	if (taken.files)
		take(&taken, "AF_NETLINK");
	for (unsigned i = 0; i < 64; i++)
		if (needs & 1ull << i)
			json_array_append_new(capabilities,
					      json_string(capng_capability_to_name(i)));
	return json_pack("{s:b, s:o, s:b, s:o, s:b, s:b, s:b}", "ok", 1, "families", taken.families,
			 "others", taken.others, "capabilities", capabilities, "namespaces",
			 (needs & 1ull << CAP_SYS_ADMIN) != 0, "identities",
			 identities || taken.gives, "gives_files", taken.gives);
}

static const struct {
	const char *name;
	json_t *(*answer)(struct thread *clerk, const json_t *request);
} verbs[] = {
	{"status", verb_status},       {"routes", verb_routes},	    {"targets", verb_targets},
	{"listeners", verb_listeners}, {"sessions", verb_sessions}, {"kill", verb_kill},
	{"reload", verb_reload},       {"upgrade", verb_reload},    {"harden", verb_harden},
	{"log-level", verb_log_level},
};

json_t *verb_answer(struct thread *clerk, const char *verb, const json_t *request)
{
	json_t *answer;

	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (!strcmp(verbs[i].name, verb))
			return verbs[i].answer(clerk, request);
	answer = operate_answer(clerk, verb, request);
	if (answer)
		return answer;
	return refusal_say(
		"this spliced does not know the verb \"%s\"; is splicectl newer than the daemon?",
		verb);
}
