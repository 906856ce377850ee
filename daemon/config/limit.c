/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/limit.h"

#include "config/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum {
	RESERVED = 256, /* for pools, plugins, log, control; half, where there are fewer than twice
			   as many */
	LISTENERS_SHARE =
		4, /* the part that listeners may have without being asked whether they need it */
	NUMBERS_MIN = 1 << 20, /* whatever RLIMIT_NOFILE says: it may have been higher before */
	NUMBERS_MAX = 1 << 26,
};

/* What is counted through the whole configuration. */
struct count {
	struct check *check;
	uint32_t routes, targets, listeners, companions,
		sockets; /* sockets: how many there can be */
};

const char *limit_remedy(void)
{
	return getenv("INVOCATION_ID") || getenv("NOTIFY_SOCKET") ? "LimitNOFILE= of the unit"
								  : "ulimit -n, or limits.conf(5)";
}

uint32_t limit_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	return limit.rlim_max < UINT32_MAX ? (uint32_t)limit.rlim_max : UINT32_MAX;
}

uint32_t limit_numbers(void)
{
	uint32_t now = limit_descriptors();

	if (now < NUMBERS_MIN)
		return NUMBERS_MIN;
	return now < NUMBERS_MAX ? now : NUMBERS_MAX;
}

static uint32_t behind_reserve(uint32_t descriptors)
{
	return descriptors > 2 * RESERVED ? descriptors - RESERVED : descriptors / 2;
}

uint32_t limit_sockets(uint32_t descriptors, uint32_t listeners)
{
	uint32_t quarter = behind_reserve(descriptors) / LISTENERS_SHARE;

	return listeners > quarter ? listeners : quarter;
}

uint32_t limit_sessions(uint32_t descriptors, uint32_t listeners, uint32_t threads)
{
	uint32_t room = behind_reserve(descriptors), most = limit_sockets(descriptors, listeners);
	uint64_t wanted = (uint64_t)listeners * threads;
	uint32_t sockets = wanted < most ? (uint32_t)wanted : most;
	uint64_t sessions = room > sockets ? (room - sockets) / LIMIT_SESSION_DESCRIPTORS : 0;

	return sessions > LIMIT_SESSIONS_MIN ? (uint32_t)sessions : LIMIT_SESSIONS_MIN;
}

static uint32_t count_legs(const struct config_route *route)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < route->n_listen && route->enabled; i++)
		n += route->listen[i].n_legs;
	return n;
}

uint32_t limit_count_listeners(const struct config *config)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < config->n_routes; i++)
		n += count_legs(&config->routes[i]);
	return n;
}

/* Reports it once, at the first one that exceeds the limit. */
static void count(struct check *check, uint32_t *sum, uint32_t more, uint32_t most,
		  struct location location, const char *what, const char *remedy)
{
	if (*sum <= most && *sum + more > most)
		check_error(check, location, "more than %u %s; %s", most, what, remedy);
	*sum += more;
}

static uint32_t count_companions(const struct config_endpoint *endpoint)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < endpoint->n_legs; i++)
		n += endpoint->legs[i].has_companion;
	return n;
}

static void count_route(struct count *counts, const struct config_route *route)
{
	static const char instance[] = "move some to a second instance";
	struct check *check = counts->check;
	char raise[96];

	snprintf(raise, sizeof(raise), "raise it (%s), or remove some", limit_remedy());
	count(check, &counts->routes, 1, LIMIT_ROUTES, route->location, "routes", instance);
	for (unsigned i = 0; i < route->n_targets; i++)
		count(check, &counts->targets, 1, LIMIT_TARGETS, route->targets[i].location,
		      "targets", instance);
	for (unsigned i = 0; i < route->n_dial; i++)
		count(check, &counts->targets, 1, LIMIT_TARGETS, route->dial[i].location, "targets",
		      instance);
	for (unsigned i = 0; i < route->n_listen && route->enabled; i++) {
		uint32_t before = counts->listeners;

		count(check, &counts->listeners, route->listen[i].n_legs, LIMIT_LISTENERS,
		      route->listen[i].location, "listeners", instance);
		count(check, &before, route->listen[i].n_legs, counts->sockets,
		      route->listen[i].location, "listeners, the limit of RLIMIT_NOFILE", raise);
		/* The errors of an endpoint were reported; its family may not be able to interpret
		 * it. */
		if (!check->reader.errors)
			count(check, &counts->companions, count_companions(&route->listen[i]),
			      LIMIT_COMPANIONS, route->listen[i].location,
			      "listeners with a companion process", instance);
	}
}

int limit_check(struct check *check)
{
	struct count counts = {.check = check};
	uint32_t room = behind_reserve(limit_descriptors()),
		 least = LIMIT_SESSIONS_MIN * LIMIT_SESSION_DESCRIPTORS;

	counts.sockets = room > 2 * least ? room - least : room / 2;
	for (unsigned i = 0; i < check->config->n_routes; i++)
		count_route(&counts, &check->config->routes[i]);
	return 0;
}
