/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Status: reads the ledger, and what the operator would look at next. Keeps nothing, changes
 * nothing. */
#include "control/status.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "control/held.h"
#include "control/operate.h"
#include "control/sums.h"
#include "control/words.h"
#include "dispatch/listener.h"
#include "dispatch/places.h"
#include "dispatch/target.h"
#include "dispatch/worker.h"
#include "ledger/generation.h"
#include "ledger/glance.h"
#include "ledger/ledger.h"
#include "ledger/unit.h"
#include "net/callback.h"
#include "net/plugin_count.h"
#include "session/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	ERRNO_MAX = 4096,
	VERDICT_REASONS_MAX = 1024,
	VERDICT_MAX = VERDICT_REASONS_MAX + OPERATE_TEXT_MAX + 16,
};
enum { LIMIT_SECONDS = 5 }; /* a limit is reported for this long after it refused something */

json_t *status_time(uint64_t realtime)
{
	time_t seconds = (time_t)(realtime / NSEC_PER_SEC);
	char text[64];
	struct tm tm;

	if (!realtime || !gmtime_r(&seconds, &tm))
		return json_null();
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

static double seconds_since(uint64_t then)
{
	uint64_t now = clock_monotonic();

	return then && now > then ? (double)(now - then) / NSEC_PER_SEC : 0;
}

static uint64_t digest_stat(const char *path, uint64_t seed)
{
	struct stat status;
	uint64_t facts[4] = {0};

	if (!stat(path, &status)) {
		facts[0] = (uint64_t)status.st_ino;
		facts[1] = (uint64_t)status.st_size;
		facts[2] = (uint64_t)status.st_mtim.tv_sec;
		facts[3] = (uint64_t)status.st_mtim.tv_nsec;
	}
	return XXH3_64bits_withSeed(facts, sizeof facts, seed);
}

uint64_t status_files_digest(const struct config *config)
{
	char directory[4096];
	uint64_t digest = 0;

	for (unsigned i = 0; i < config->files.n; i++)
		digest = digest_stat(config->files.names[i], digest);
	if (config->files.n) {
		snprintf(directory, sizeof directory, "%s.d", config->files.names[0]);
		digest = digest_stat(directory, digest);
	}
	return digest;
}

/* Reasons, each to a line of text: the verdict's size is bounded, what does not fit is counted. */
struct verdict {
	char text[VERDICT_REASONS_MAX];
	size_t len;
	unsigned reasons;
};

static void add_reason(struct verdict *verdict, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void add_reason(struct verdict *verdict, const char *format, ...)
{
	va_list args;
	int n;

	verdict->reasons++;
	n = snprintf(verdict->text + verdict->len, sizeof verdict->text - verdict->len, "%s",
		     verdict->len ? "; " : "DEGRADED: ");
	if (n > 0 && (size_t)n < sizeof verdict->text - verdict->len)
		verdict->len += (size_t)n;
	va_start(args, format);
	n = vsnprintf(verdict->text + verdict->len, sizeof verdict->text - verdict->len, format,
		      args);
	va_end(args);
	if (n > 0 && (size_t)n < sizeof verdict->text - verdict->len)
		verdict->len += (size_t)n;
}

static void judge_targets(struct verdict *verdict, const struct ledger *ledger,
			  const struct generation *generation)
{
	char text[TARGET_TEXT_MAX];

	for (unsigned i = 0; i < generation->config->n_routes; i++) {
		const struct config_route *route = &generation->config->routes[i];

		for (unsigned k = 0; route->enabled && k < route->n_targets; k++) {
			uint32_t slot = generation->target_slots[i][k];

			if (places_show(ledger, generation, i, k) &&
			    !places_is_left(ledger, generation, i, k) &&
			    target_has_failed(ledger, &route->targets[k], slot))
				add_reason(verdict, "%s/%s down (%s)", route->name,
					   route->targets[k].name,
					   target_tell_failure(&ledger->targets[slot], text));
		}
	}
}

const char *status_wait_text(int32_t error)
{
	switch (error) {
	case ENOKEY:
		return "for an unknown name: a user or group of its rules, or the host";
	case ESRCH:
		return "for an unknown user or group: the owner or group of its file";
	}
	return strerror(error);
}

/* Family or device is not there. One endpoint of both IP families has two listeners. */
static void judge_waiting(struct verdict *verdict, const struct ledger_listener *record,
			  struct generation *generations, const struct config_route *route)
{
	const struct config_endpoint *endpoint = generation_listens(generations, record);
	const struct config_leg *leg = generation_listens_by(generations, record);

	if (leg)
		add_reason(verdict, "%s: %s%s%s waits (%s)", route->name, endpoint->text,
			   endpoint->n_legs > 1 ? " by " : "",
			   endpoint->n_legs > 1 ? leg->family->name : "",
			   status_wait_text(record->waits));
}

/* Units that could not be started, or stopped. */
static void judge_units(struct verdict *verdict, const struct ledger *ledger)
{
	for (int i = 0; i < LEDGER_UNITS_MAX; i++) {
		const struct ledger_unit *unit = &ledger->units[i];

		if (unit->used && unit->problem)
			add_reason(verdict, "unit %.*s cannot be %s: %s", LEDGER_UNIT_NAME_MAX - 1,
				   unit->name, unit->state == UNIT_REFUSED ? "started" : "stopped",
				   unit_problem_text(unit->problem));
	}
}

static bool is_limit(uint32_t why)
{
	return why == PAUSE_SESSIONS || why == PAUSE_LIMIT || why == PAUSE_DESCRIPTORS ||
	       why == PAUSE_SHARE || why == PAUSE_PIPES || why == PAUSE_FULL;
}

/* A record's route, by its record. */
static bool is_paused(const struct ledger *ledger, struct generation *generations,
		      const struct ledger_listener *record)
{
	const struct generation *generation = generation_find(generations, record->generation);
	uint32_t route = record->route;

	return generation && route < generation->config->n_routes &&
	       ledger->routes[generation->route_slots[route]].paused;
}

static void judge_listeners(struct verdict *verdict, const struct ledger *ledger,
			    struct generation *generations, uint32_t *listening, uint32_t *paused)
{
	*listening = *paused = 0;
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++) {
		struct ledger_listener copy, *record = &copy;
		const struct config_route *route;

		if (!glance_listener(ledger, i, record))
			continue;
		route = generation_route(generations, record->generation, record->route);
		if ((record->state == LISTENER_WAITING ||
		     (record->state == LISTENER_OPEN && record->waits)) &&
		    route)
			judge_waiting(verdict, record, generations, route);
		if (record->state != LISTENER_OPEN || !route)
			continue;
		*listening += 1;
		if (!record->paused)
			continue;
		*paused += 1;
		/* The reason is reported with the paused route: judge_routes(). */
		if (record->paused == PAUSE_DEATHS && is_paused(ledger, generations, record))
			continue;
		if (is_limit(record->paused) || record->paused == PAUSE_HELD)
			continue; /* intended, and judge_limits() reports it */
		add_reason(verdict, "%s paused (%s)", route->name,
			   listener_pause_name(record->paused));
	}
}

/* Routes that were refused something a moment ago. A paused listener asks several times a
 * second. */
static void judge_limits(struct verdict *verdict, const struct ledger *ledger,
			 const struct generation *generation)
{
	uint64_t now = clock_monotonic();

	for (unsigned i = 0; i < generation->config->n_routes; i++) {
		const struct ledger_route *route = &ledger->routes[generation->route_slots[i]];
		uint64_t at = route->limit_at;

		if (at && now < at + LIMIT_SECONDS * NSEC_PER_SEC && is_limit(route->limit))
			add_reason(verdict, "%s: %s (%u of %u sessions)",
				   generation->config->routes[i].name,
				   listener_pause_name(route->limit), route->active,
				   ledger->keeper->places);
	}
}

static bool may_wait(const struct ledger_session *record)
{
	return record->state == SESSION_RELAYING || record->state == SESSION_CONNECTING;
}

/* A session that connects may have come to another member meanwhile. */
static bool has_places(const struct config_endpoint *endpoint)
{
	return endpoint && endpoint->legs[0].row->capabilities & (SPLICED_FEED | SPLICED_BINDS);
}

/* What a family waits for, as an interface that is not there. */
static void judge_places(struct verdict *verdict, const struct ledger *ledger,
			 struct generation *generations)
{
	for (uint32_t slot = 0; slot < ledger_sessions_high(ledger); slot++) {
		struct ledger_session copy, *record = &copy;
		const struct config_route *route;

		/* Each second, of each session: of most there is nothing more to look at. */
		if (!may_wait(&ledger->sessions[slot]) ||
		    (!ledger->flows[slot].waits[0] && !ledger->flows[slot].waits[1]))
			continue;
		if (!glance_session(ledger, slot, record))
			continue;
		route = generation_route(generations, record->generation, record->route);
		for (unsigned side = 0; route && side < 2; side++) {
			const struct config_endpoint *endpoint =
				side ? generation_target(route, record)
				     : generation_front(route, record);
			int error = ledger->flows[slot].waits[side];

			if (error && has_places(endpoint))
				add_reason(verdict, "%s: %s waits (%s)", route->name,
					   endpoint->text, strerror(error));
		}
	}
}

void status_route_pause(const struct ledger_route *route, char text[STATUS_PAUSE_MAX])
{
	*text = '\0';
	if (route->paused && route->callback)
		snprintf(text, STATUS_PAUSE_MAX, "its family %s %s in %s() %u times", route->family,
			 route->hung ? "hung" : "crashed", callback_name(route->callback),
			 route->deaths);
	else if (route->paused)
		snprintf(text, STATUS_PAUSE_MAX, "in hand when %u workers died", route->deaths);
}

static void judge_routes(struct verdict *verdict, const struct ledger *ledger,
			 const struct generation *generation)
{
	for (unsigned i = 0; i < generation->config->n_routes; i++) {
		char pause[STATUS_PAUSE_MAX];

		status_route_pause(&ledger->routes[generation->route_slots[i]], pause);
		if (*pause)
			add_reason(verdict, "route %s paused until a reload: %s",
				   generation->config->routes[i].name, pause);
	}
}

static json_t *refusals(const struct ledger *ledger, const struct generation *generation)
{
	json_t *array = json_array();
	struct sums sums;

	for (unsigned i = 0; i < generation->config->n_routes; i++) {
		sums_of_route(&sums, ledger, NULL, generation->route_slots[i]);
		for (int reason = 0; reason < REFUSED_REASONS; reason++)
			if (sums.refused[reason])
				json_array_append_new(
					array,
					json_pack("{s:s, s:s, s:I}", "route",
						  generation->config->routes[i].name, "reason",
						  counter_refusals[reason].name, "count",
						  (json_int_t)sums.refused[reason]));
	}
	return array;
}

/* Why a part of the sandbox is missing; NULL: it is active. */
static const char *wall_reason(int32_t wall)
{
	if (wall < 0 && wall > -ERRNO_MAX)
		return strerror(-wall);
	switch ((enum ledger_wall)wall) {
	case WALL_STANDS:
		return NULL;
	case WALL_NONE:
		return "no worker has started yet";
	case WALL_OFF:
		return "daemon.sandbox is off";
	case WALL_SINGLE:
		return "--single";
	case WALL_NOT_BUILT:
		return "not built in";
	case WALL_PROCESS:
		return "a route is in the network namespace of a process";
	}
	return "?";
}

static json_t *sandbox_object(const struct ledger_keeper *keeper)
{
	const char *calls = wall_reason(keeper->wall_calls),
		   *files = wall_reason(keeper->wall_files);
	char why[LEDGER_NAME_MAX];

	if (calls && files && !strcmp(calls, files))
		snprintf(why, sizeof why, "%s", calls);
	else
		snprintf(why, sizeof why, "%s%s%s%s%s", calls ? "seccomp: " : "",
			 calls ? calls : "", calls && files ? ", " : "", files ? "landlock: " : "",
			 files ? files : "");
	return json_pack("{s:b, s:b, s:o}", "seccomp", !calls, "landlock", !files, "why",
			 words_json(*why ? why : NULL));
}

static const char *worker_state(uint32_t state)
{
	switch ((enum ledger_worker_state)state) {
	case WORKER_NONE:
	case WORKER_SWEEPING:
		return "starting";
	case WORKER_READY:
		return "running";
	case WORKER_STOPPED:
		return "stopping";
	}
	return "?";
}

static json_t *worker_object(const struct ledger_keeper *keeper)
{
	json_t *death = json_null();

	if (keeper->last_death_at)
		death = json_pack("{s:o, s:o}", "time", status_time(keeper->last_death_at), "what",
				  words_json(keeper->last_death));
	return json_pack(
		"{s:i, s:s, s:s, s:f, s:I, s:I, s:f, s:{s:I, s:I, s:I, s:I, s:I}, s:o, s:o}", "pid",
		(int)keeper->worker_pid, "state", worker_state(keeper->worker_state), "version",
		PACKAGE_VERSION, "age", seconds_since(keeper->worker_started), "adopted",
		(json_int_t)keeper->adopted_total, "orphans", (json_int_t)keeper->orphans_adopted,
		"adopt_longest", (double)keeper->adopt_ns_max / NSEC_PER_SEC, "starts", "start",
		(json_int_t)keeper->starts[START_FIRST], "crash",
		(json_int_t)keeper->starts[START_CRASH], "hang",
		(json_int_t)keeper->starts[START_HANG], "reload",
		(json_int_t)keeper->starts[START_RELOAD], "upgrade",
		(json_int_t)keeper->starts[START_UPGRADE], "last_death", death, "sandbox",
		sandbox_object(keeper));
}

static json_t *reload_object(const struct ledger *ledger)
{
	const struct ledger_keeper *keeper = ledger->keeper;
	bool failed = keeper->reload_at && !keeper->reload_ok;

	return json_pack("{s:i, s:b, s:o, s:o, s:I, s:I}", "generation", (int)keeper->generation,
			 "ok", !failed, "time", status_time(keeper->reload_at), "error",
			 words_json(failed ? ledger->text : NULL), "succeeded",
			 (json_int_t)keeper->reloads_ok, "failed",
			 (json_int_t)keeper->reloads_failed);
}

static void judge(struct verdict *verdict, const struct ledger *ledger,
		  struct generation *generations, uint32_t *listening, uint32_t *paused)
{
	judge_targets(verdict, ledger, generations);
	judge_units(verdict, ledger);
	judge_listeners(verdict, ledger, generations, listening, paused);
	judge_limits(verdict, ledger, generations);
	judge_places(verdict, ledger, generations);
	judge_routes(verdict, ledger, generations);
	if (*ledger->keeper->unread)
		add_reason(verdict, "%s cannot be read: its routes are omitted until it can",
			   ledger->keeper->unread);
	if (ledger->keeper->reload_at && !ledger->keeper->reload_ok)
		add_reason(verdict, "the last reload was refused");
	if (ledger->keeper->audit_broken)
		add_reason(verdict, "the audit after a crash failed for implausibly many sessions");
}

/* Settings by hand are intended: they do not degrade the status. */
static const char *tell(const struct verdict *verdict, const struct ledger *ledger,
			const struct generation *generations, char *text, size_t size)
{
	char hand[OPERATE_TEXT_MAX];

	operate_tell(ledger, generations, hand);
	snprintf(text, size, "%s%s%s", verdict->reasons ? verdict->text : "OK",
		 *hand ? "; by hand: " : "", hand);
	return text;
}

void status_verdict(const struct ledger *ledger, struct generation *generations, char *text,
		    size_t size)
{
	struct verdict verdict = {0};
	uint32_t listening, paused;

	judge(&verdict, ledger, generations, &listening, &paused);
	tell(&verdict, ledger, generations, text, size);
}

/* Those whose threads have one socket for all, because RLIMIT_NOFILE leaves no more. */
static uint32_t count_shared(const struct ledger *ledger)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		count += ledger->listeners[i].state == LISTENER_OPEN && ledger->listeners[i].shared;
	return count;
}

/* {family: {counter: count}}, of plugins that count. */
static json_t *families_object(void)
{
	json_t *ret = json_object(), *counts;
	const char *family, *name;
	unsigned place = 0;
	uint64_t count;

	while (plugin_count_next(&place, &family, &name, &count)) {
		counts = json_object_get(ret, family);
		if (!counts) {
			counts = json_object();
			json_object_set_new(ret, family, counts);
		}
		json_object_set_new(counts, name, json_integer((json_int_t)count));
	}
	return ret;
}

json_t *status_object(const struct worker *worker)
{
	const struct ledger *ledger = worker->ledger;
	struct generation *generations = worker->generations;
	const struct ledger_keeper *keeper = ledger->keeper;
	struct verdict verdict = {0};
	char text[VERDICT_MAX];
	uint32_t listening, paused;
	bool differs = status_files_digest(generations->config) != keeper->file_digest;

	judge(&verdict, ledger, generations, &listening, &paused);
	return json_pack(
		"{s:b, s:o, s:o, s:b, s:s, s:f, s:{s:i, s:s}, s:o, s:{s:i, s:I, s:i}, s:o?, s:o?, s:i, s:{s:i, s:i, s:i}, "
		"s:o, s:{s:o, s:b}, s:o, s:{s:o}, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:o}",
		"ok", 1, "verdict",
		words_json(tell(&verdict, ledger, generations, text, sizeof text)), "hand",
		operate_list(ledger, generations), "degraded", verdict.reasons != 0, "version",
		PACKAGE_VERSION, "uptime", seconds_since(keeper->started), "keeper", "pid",
		(int)keeper->keeper_pid, "version", PACKAGE_VERSION, "worker",
		worker_object(keeper), "sessions", "active", (int)keeper->sessions_active, "total",
		(json_int_t)keeper->sessions_total, "limit", (int)keeper->places, "descriptors",
		held_descriptors(worker), "records", held_records(worker), "routes",
		(int)generations->config->n_routes, "listeners", "listening", (int)listening,
		"paused", (int)paused, "shared", (int)count_shared(ledger), "reload",
		reload_object(ledger), "file", "path", words_json(keeper->config_path), "differs",
		differs, "refused", refusals(ledger, generations), "control", "path",
		words_json(keeper->control_path), "audit_failures",
		(json_int_t)keeper->audit_failures, "log_lost", (json_int_t)log_lost(), "ledger",
		"sessions", (json_int_t)keeper->dropped_sessions, "listeners",
		(json_int_t)keeper->dropped_listeners, "controls",
		(json_int_t)keeper->dropped_controls, "mended", (json_int_t)keeper->mended,
		"families", families_object());
}

void status_log(const struct ledger *ledger, struct generation *generations)
{
	const struct ledger_keeper *keeper = ledger->keeper;
	struct verdict verdict = {0};
	char text[VERDICT_MAX];
	uint32_t listening, paused;

	judge(&verdict, ledger, generations, &listening, &paused);
	log_notice("status: %s", tell(&verdict, ledger, generations, text, sizeof text));
	log_notice(
		"status: generation %u, worker %d, %u of %u sessions, %llu in total, %u listeners (%u paused)",
		keeper->generation, (int)keeper->worker_pid, keeper->sessions_active,
		keeper->places, (unsigned long long)keeper->sessions_total, listening, paused);
	for (unsigned i = 0; i < generations->config->n_routes; i++) {
		struct sums sums;

		sums_of_route(&sums, ledger, NULL, generations->route_slots[i]);
		log_notice(
			"status: route %s: %u sessions, %llu in total, %llu bytes to targets, %llu back",
			generations->config->routes[i].name,
			ledger->routes[generations->route_slots[i]].active,
			(unsigned long long)sums.counters[COUNTER_SESSIONS],
			(unsigned long long)sums.counters[COUNTER_BYTES_TO_TARGET],
			(unsigned long long)sums.counters[COUNTER_BYTES_FROM_TARGET]);
	}
}
