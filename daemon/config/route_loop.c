/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loops visible in the text: routes whose targets lead from one's listener to the next's, and back.
 * Other loops are refused when they occur. A route is visited once, depth first and without
 * recursion, for there may be thousands in a row.
 */
#include "config/route_loop.h"

#include "base/arena.h"
#include "base/report.h"
#include "config/check.h"
#include "config/where.h"

#include <errno.h>
#include <string.h>

enum { TEXT_MAX = 16 * 1024 };

/* How far the search is with a route. */
struct visit {
	enum { VISIT_NEW, VISIT_OPEN, VISIT_DONE } state;
	unsigned next;	   /* target to follow, */
	unsigned listener; /* and from which listener, where its port depends on that */
	unsigned way;	   /* the target that is being followed */
	uint32_t from;	   /* the route whose target led here */
};

struct search {
	struct check *check;
	struct where_map map;
	struct visit *visits; /* by route */
};

static const struct config_route *route_of(const struct search *search, uint32_t route)
{
	return &search->check->config->routes[route];
}

/* The target by which an open route is being followed. */
static const struct config_endpoint *way_of(const struct search *search, uint32_t route)
{
	return &route_of(search, route)->targets[search->visits[route].way];
}

/* Of the routes from `last` back to `first`, the one that the file has first. */
static uint32_t find_earliest(const struct search *search, uint32_t first, uint32_t last)
{
	uint32_t earliest = first;

	for (uint32_t route = last; route != first; route = search->visits[route].from)
		earliest = route < earliest ? route : earliest;
	return earliest;
}

static unsigned count_routes(const struct search *search, uint32_t first, uint32_t last)
{
	unsigned n = 1;

	for (uint32_t route = last; route != first; route = search->visits[route].from)
		n++;
	return n;
}

/* The routes of a loop, in its order, from the earliest on. */
static uint32_t *list_routes(const struct search *search, uint32_t first, uint32_t last, unsigned n)
{
	uint32_t *routes = arena_take(search->check->scratch, n, sizeof *routes),
		 route = find_earliest(search, first, last);

	for (unsigned i = n; routes && i--;) {
		route = route == first ? last : search->visits[route].from;
		routes[i] = route;
	}
	return routes;
}

/* "route b's listener, whose target T is route c's, whose target U is route a's"; NULL if there is
 * no memory. */
static const char *name_way(const struct search *search, const uint32_t *routes, unsigned n)
{
	struct arena *scratch = search->check->scratch;
	const char *text =
		arena_print(scratch, "route %s's listener", route_of(search, routes[1 % n])->name);

	for (unsigned i = 1; i < n && text; i++) {
		if (strlen(text) > TEXT_MAX)
			return arena_print(
				scratch, "%s, and so on through %u more routes, back to route %s's",
				text, n - i, route_of(search, routes[0])->name);
		text = arena_print(scratch, "%s, whose target %s is route %s's", text,
				   way_of(search, routes[i])->text,
				   route_of(search, routes[(i + 1) % n])->name);
	}
	return text;
}

static int report(const struct search *search, uint32_t first, uint32_t last)
{
	struct check *check = search->check;
	unsigned n = count_routes(search, first, last);
	const uint32_t *routes = list_routes(search, first, last, n);
	const struct config_endpoint *target;
	const char *way;
	char where[320];

	if (!routes)
		return -ENOMEM;
	way = n == 1 ? "its own listener" : name_way(search, routes, n);
	if (!way)
		return -ENOMEM;
	target = way_of(search, routes[0]);
	check->reader.errors++;
	report_add(check->reader.report, "%s: route %s: its target %s is %s: a loop; change %s",
		   config_location_text(check->config, target->location, where, sizeof where),
		   route_of(search, routes[0])->name, target->text, way,
		   n == 1 ? "the target" : "one of the targets");
	return 0;
}

/* Takes the route's next way: a target, or one with the port that it has from the next listener. */
static const struct config_endpoint *take_way(struct visit *visit, const struct config_route *route,
					      unsigned *port)
{
	const struct config_endpoint *target = &route->targets[visit->next];

	visit->way = visit->next;
	*port = 0;
	if (target->follows_port && visit->listener < route->n_listen)
		*port = route->listen[visit->listener++].legs[0].port + target->port_offset;
	if (!target->follows_port || visit->listener >= route->n_listen) {
		visit->next++;
		visit->listener = 0;
	}
	return target;
}

/* Follows the route's next target. The route to go on with. */
static int64_t step(struct search *search, uint32_t route)
{
	struct visit *visit = &search->visits[route];
	const struct config_endpoint *target;
	unsigned port;
	uint32_t to;
	int r;

	if (visit->next == route_of(search, route)->n_targets) {
		visit->state = VISIT_DONE;
		return visit->from;
	}
	target = take_way(visit, route_of(search, route), &port);
	if (!where_find(&search->map, target, port, &to) || search->visits[to].state == VISIT_DONE)
		return route;
	if (search->visits[to].state == VISIT_OPEN) {
		r = report(search, to, route);
		visit->next = visit->way + 1; /* once, whatever its port */
		visit->listener = 0;
		return r ? r : (int64_t)route;
	}
	search->visits[to] = (struct visit){.state = VISIT_OPEN, .from = route};
	return to;
}

static int search_from(struct search *search, uint32_t route)
{
	int64_t now = route;

	if (search->visits[route].state != VISIT_NEW)
		return 0;
	search->visits[route] = (struct visit){.state = VISIT_OPEN, .from = route};
	while (now >= 0 && search->visits[route].state == VISIT_OPEN)
		now = step(search, (uint32_t)now);
	return now < 0 ? (int)now : 0;
}

int route_loop_check(struct check *check)
{
	const struct config *config = check->config;
	struct search search = {.check = check};
	int r = 0;

	search.visits = arena_take(check->scratch, config->n_routes, sizeof *search.visits);
	if (!search.visits)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->n_routes && !r; i++)
		if (config->routes[i].enabled)
			r = where_add_route(&search.map, check->scratch, config, i);
	for (uint32_t i = 0; i < config->n_routes && !r; i++)
		if (config->routes[i].enabled)
			r = search_from(&search, i);
	where_map_done(&search.map);
	return r;
}
