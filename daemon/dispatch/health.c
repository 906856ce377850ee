/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * It owns the checks, and the places for those that run at the same time; a check that finds no
 * place waits in a queue, in order. Always true: one check of a kind is under way at most, and the
 * next begins at a time of its phase, however long this one took.
 */
#include "dispatch/health.h"

#include "base/clock.h"
#include "base/index.h"
#include "config/config.h"
#include "dispatch/health_ask.h"
#include "dispatch/on_down.h"
#include "dispatch/target.h"
#include "dispatch/target_check.h"
#include "ledger/generation.h"
#include "ledger/unit.h"
#include "session/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { NOBODY = UINT32_MAX };
enum { VACANT_SECONDS = 1 /* until a place has an address, at most */ };

/* A target that a check is for. */
struct member {
	uint32_t slot; /* its record in the ledger */
	uint32_t next; /* of the same check; NOBODY: none */
};

struct check {
	struct timer timer;
	struct health *health;
	struct health_place place;	/* its first member's */
	uint32_t members;		/* the first */
	struct check *queued;		/* behind it */
	char *request;			/* of HTTP; the rest is the configuration's */
	const struct ledger_unit *unit; /* of its first member, or NULL */
};

struct health {
	struct thread *clerk;
	struct on_down *on_down;
	struct check *checks;
	uint32_t n_checks;
	struct member *members;
	uint32_t n_members;
	struct health_ask *asks; /* n_asks */
	struct health_ask **free_asks;
	uint32_t n_asks, n_free;
	struct check *first, *last; /* those that wait for a place */
	bool running;		    /* the queue is being served */
};

static struct ledger_target *member_target(const struct check *check, uint32_t member)
{
	return &check->health->clerk->worker->ledger->targets[check->health->members[member].slot];
}

static const struct config_health *settings_of(const struct check *check)
{
	return check->place.endpoint->health;
}

/* ---- when ---- */

/* The next time of its phase. */
static uint64_t next_time(const struct check *check, uint64_t now)
{
	uint64_t interval = settings_of(check)->interval,
		 phase = settings_of(check)->digest % interval;

	return now < phase ? phase : now - (now - phase) % interval + interval;
}

/* The target's systemd unit does not run: a client starts it, and till then nothing is wrong with
 * the target. */
static bool rests(const struct check *check)
{
	return check->unit && atomic_load(&check->unit->state) != UNIT_RUNNING;
}

/* It is a place of a name, and has no address. */
static bool is_vacant(const struct check *check)
{
	const struct ledger *ledger = check->health->clerk->worker->ledger;

	return !target_is_listed(&ledger->targets[check->place.slot],
				 &check->place.endpoint->member);
}

static void serve_queue(struct health *health);

static void changed(struct health *health, const struct ledger_target *target)
{
	target_changed(health->clerk->worker->ledger, target);
	if (target_is_checked_down(target))
		on_down_look(health->on_down);
}

static void done(struct health_ask *ask, enum health_result result, const char *error)
{
	struct check *check = ask->owner;
	struct health *health = check->health;
	uint64_t now = health->clerk->loop.now;

	for (uint32_t i = check->members; i != NOBODY; i = health->members[i].next) {
		struct ledger_target *target = member_target(check, i);

		if (result == HEALTH_UNKNOWN)
			target->check.began_at = 0;
		else if (target_checked(target, settings_of(check), now,
					result == HEALTH_WRONG ? error : NULL))
			changed(health, target);
	}
	ask->place = NULL;
	health->free_asks[health->n_free++] = ask;
	timer_set(&health->clerk->loop.timers, &check->timer, next_time(check, now));
	serve_queue(health);
}

static void begin(struct check *check)
{
	struct health *health = check->health;
	struct health_ask *ask = health->free_asks[--health->n_free];

	for (uint32_t i = check->members; i != NOBODY; i = health->members[i].next)
		member_target(check, i)->check.began_at = health->clerk->loop.now;
	ask->owner = check;
	health_ask_begin(ask, &check->place);
}

/* A check that finishes at once comes back here: recursion is limited to one level. */
static void serve_queue(struct health *health)
{
	if (health->running)
		return;
	health->running = true;
	while (health->first && health->n_free) {
		struct check *check = health->first;

		health->first = check->queued;
		begin(check);
	}
	health->running = false;
}

static void due(struct timer *timer)
{
	struct check *check = (struct check *)((char *)timer - offsetof(struct check, timer));
	struct health *health = check->health;

	if (is_vacant(check)) {
		/* All of them at once. */
		uint64_t pause = VACANT_SECONDS * NSEC_PER_SEC;

		timer_set(&health->clerk->loop.timers, timer,
			  health->clerk->loop.now / pause * pause + pause);
		return;
	}
	if (rests(check)) {
		timer_set(&health->clerk->loop.timers, timer,
			  next_time(check, health->clerk->loop.now));
		return;
	}
	check->queued = NULL;
	if (health->first)
		health->last->queued = check;
	else
		health->first = check;
	health->last = check;
	serve_queue(health);
}

static void handle(void *context, uint64_t name, uint32_t events)
{
	struct health *health = context;

	(void)events;
	if (loop_index(name) < health->n_asks)
		health_ask_handle(&health->asks[loop_index(name)], loop_serial(name));
}

/* ---- what ---- */

/* "HOST" of the endpoint's text, "SCHEME://HOST:PORT"; other addresses are of this machine. */
static int host_of(const struct config_endpoint *endpoint, const char **host)
{
	const char *begin = strstr(endpoint->text, "://"), *end = strrchr(endpoint->text, ':');
	int domain = endpoint->legs[0].family->plugin.domain;

	if (begin && end == begin) /* a service: it has no port */
		end = begin + strlen(begin);
	if ((domain != AF_INET && domain != AF_INET6) || !begin || end <= begin) {
		*host = "localhost";
		return (int)strlen(*host);
	}
	*host = begin + strlen("://");
	return (int)(end - *host);
}

static int set_request(struct check *check)
{
	const struct config_health *settings = settings_of(check);
	const char *host;
	int len;

	if (!settings->http) {
		check->place.request = settings->send;
		check->place.request_len = settings->send_len;
		return 0;
	}
	len = host_of(check->place.endpoint, &host);
	len = asprintf(&check->request,
		       "GET %s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: spliced/%s\r\nAccept: */*\r\n"
		       "Connection: close\r\n\r\n",
		       settings->http, len, host, PACKAGE_VERSION);
	if (len < 0) {
		check->request = NULL;
		return -ENOMEM;
	}
	check->place.request = check->request;
	check->place.request_len = (size_t)len;
	return 0;
}

/* Gives the result of an earlier worker to all of its members. True: it was under way when that
 * worker ended. */
static bool adopt(struct check *check)
{
	uint64_t digest = settings_of(check)->digest;
	const struct ledger_target *known = NULL;
	bool asked = false;

	for (uint32_t i = check->members; i != NOBODY; i = check->health->members[i].next) {
		const struct ledger_target *target = member_target(check, i);

		if (target->check.digest != digest)
			continue;
		asked |= target->check.began_at != 0;
		known = known ? known : target;
	}
	for (uint32_t i = check->members; i != NOBODY; i = check->health->members[i].next) {
		struct ledger_target *target = member_target(check, i);

		if (target->check.digest == digest)
			continue;
		target_check_anew(target, digest);
		if (known)
			memcpy(&target->check, &known->check, sizeof target->check);
	}
	return asked;
}

/* The check with those settings, made where there is none. NULL without memory. */
static struct check *find_check(struct health *health, struct index *index,
				const struct generation *generation, unsigned route,
				unsigned target)
{
	const struct config_endpoint *endpoint = &generation->config->routes[route].targets[target];
	struct check *check;
	uint32_t number = 0;

	if (index_next(index, endpoint->health->digest, &(size_t){0}, &number))
		return &health->checks[number];
	if (index_add(index, endpoint->health->digest, health->n_checks) < 0)
		return NULL;
	check = &health->checks[health->n_checks++];
	*check = (struct check){
		.timer.fire = due,
		.health = health,
		.members = NOBODY,
		.unit = generation_unit(generation, health->clerk->worker->ledger, route, target),
		.place = {.clerk = health->clerk,
			  .config = generation->config,
			  .route = &generation->config->routes[route],
			  .endpoint = endpoint,
			  .route_slot = generation->route_slots[route],
			  .slot = generation->target_slots[route][target]},
	};
	return set_request(check) < 0 ? NULL : check;
}

static int add_members(struct health *health, const struct generation *generation, bool *checked)
{
	const struct config *config = generation->config;
	struct index index = {0};
	int r = 0;

	for (unsigned i = 0; i < config->n_routes; i++)
		for (unsigned k = 0;
		     config->routes[i].enabled && k < config->routes[i].n_targets && !r; k++) {
			struct member *member = &health->members[health->n_members];
			struct check *check;

			if (!config->routes[i].targets[k].health)
				continue;
			check = find_check(health, &index, generation, i, k);
			r = check ? 0 : -ENOMEM;
			if (r)
				break;
			member->slot = generation->target_slots[i][k];
			member->next = check->members;
			check->members = health->n_members++;
			checked[member->slot] = true;
		}
	index_done(&index);
	return r;
}

static uint32_t count_members(const struct config *config)
{
	uint32_t count = 0;

	for (unsigned i = 0; i < config->n_routes; i++)
		for (unsigned k = 0; config->routes[i].enabled && k < config->routes[i].n_targets;
		     k++)
			count += config->routes[i].targets[k].health != NULL;
	return count;
}

/* No check would ever report that they are up. */
static void forget_others(struct ledger *ledger, const bool *checked)
{
	for (uint32_t i = 0; i < ledger_targets_high(ledger); i++)
		if (!checked[i] && ledger->targets[i].check.digest)
			target_check_anew(&ledger->targets[i], 0);
}

static int make_places(struct health *health)
{
	health->n_asks = health->n_checks < HEALTH_ASKS_MAX ? health->n_checks : HEALTH_ASKS_MAX;
	health->asks = calloc(health->n_asks, sizeof *health->asks);
	health->free_asks = calloc(health->n_asks, sizeof(struct health_ask *));
	if (!health->asks || !health->free_asks)
		return -ENOMEM;
	for (uint32_t i = 0; i < health->n_asks; i++) {
		health->asks[i].index = i;
		health->asks[i].fd = -1;
		health->asks[i].done = done;
		health->free_asks[health->n_free++] = &health->asks[i];
	}
	return 0;
}

static int begin_all(struct health *health, const struct generation *generation, bool *checked)
{
	struct thread *clerk = health->clerk;
	uint64_t now = clock_monotonic();
	int r = add_members(health, generation, checked);

	if (!r)
		r = make_places(health);
	if (r)
		return r;
	loop_handle(&clerk->loop, KIND_HEALTH, handle, health);
	for (uint32_t i = 0; i < health->n_checks; i++)
		timer_set(&clerk->loop.timers, &health->checks[i].timer,
			  adopt(&health->checks[i]) ? 0 : next_time(&health->checks[i], now));
	return 0;
}

int health_new(struct health **ret, struct thread *clerk, struct on_down *on_down)
{
	const struct generation *generation = clerk->worker->generations;
	uint32_t count = count_members(generation->config);
	bool *checked = calloc(LEDGER_TARGETS_MAX, sizeof *checked);
	struct health *health = calloc(1, sizeof *health);
	int r = checked && health ? 0 : -ENOMEM;

	*ret = NULL;
	if (!r && count) {
		health->clerk = clerk;
		health->on_down = on_down;
		health->checks = calloc(count, sizeof *health->checks);
		health->members = calloc(count, sizeof *health->members);
		r = health->checks && health->members ? begin_all(health, generation, checked)
						      : -ENOMEM;
	}
	if (!r)
		forget_others(clerk->worker->ledger, checked);
	free(checked);
	if (!r && count)
		*ret = health;
	else
		health_free(health);
	return r;
}

struct health *health_free(struct health *health)
{
	if (!health)
		return NULL;
	for (uint32_t i = 0; health->asks && i < health->n_asks; i++)
		health_ask_stop(&health->asks[i]);
	for (uint32_t i = 0; i < health->n_checks; i++)
		free(health->checks[i].request);
	free(health->asks);
	free(health->free_asks);
	free(health->checks);
	free(health->members);
	free(health);
	return NULL;
}
