/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/changes.h"

#include "base/index.h"
#include "base/log.h"
#include "config/config.h"

#include <string.h>

enum { LINES_MAX = 50 };

static uint64_t hash_of(const struct config_route *route)
{
	return index_hash_text(route->name, 0);
}

static const struct config_route *find(const struct index *index, const struct config *config,
				       const struct config_route *like)
{
	uint32_t number;

	for (size_t at = 0; index_next(index, hash_of(like), &at, &number);)
		if (!strcmp(config->routes[number].name, like->name))
			return &config->routes[number];
	return NULL;
}

static int index_all(struct index *index, const struct config *config)
{
	int r = 0;

	for (unsigned i = 0; i < config->n_routes && !r; i++)
		r = index_add(index, hash_of(&config->routes[i]), i);
	return r;
}

static void tell(enum log_event event, const struct config_route *route, const char *what,
		 unsigned *lines)
{
	struct log_entry entry = {.event = event};

	if ((*lines)++ >= LINES_MAX)
		return;
	log_add_field(&entry, "ROUTE", route->name);
	log_event(LOG_INFO, &entry, "route %s is %s", route->name, what);
}

static void tell_all(const struct config *before, const struct index *old, const struct config *now,
		     const struct index *new)
{
	unsigned lines = 0;

	for (unsigned i = 0; i < now->n_routes; i++) {
		const struct config_route *route = &now->routes[i], *was = find(old, before, route);

		if (!was)
			tell(EVENT_ROUTE_ADDED, route, "added", &lines);
		else if (was->digest != route->digest)
			tell(EVENT_ROUTE_CHANGED, route, "changed", &lines);
	}
	for (unsigned i = 0; i < before->n_routes; i++)
		if (!find(new, now, &before->routes[i]))
			tell(EVENT_ROUTE_REMOVED, &before->routes[i], "removed", &lines);
	if (lines > LINES_MAX)
		log_info("%u more routes are added, changed or removed", lines - LINES_MAX);
}

void changes_log(const struct config *before, const struct config *now)
{
	struct index old = {0}, new = {0};

	if (log_level() >= LOG_INFO && !index_all(&old, before) && !index_all(&new, now))
		tell_all(before, &old, now, &new);
	index_done(&old);
	index_done(&new);
}
