/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two routes cannot listen on one address; sockets bound to different interfaces can. A name that
 * is not resolved is compared as a name. Routes that are not enabled do not listen.
 */
#include "config/conflict.h"

#include "base/arena.h"
#include "config/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct listener {
	const struct config_route *route;
	const struct config_endpoint *endpoint;
	const struct config_leg *leg;
	unsigned number; /* in the order of the file */
};

static int compare_texts(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int compare_interfaces(const struct config_leg *a, const struct config_leg *b)
{
	int r = 0;

	for (uint32_t i = 0; i < a->family->plugin.n_options && r == 0; i++)
		if (a->family->options[i].type == SPLICED_INTERFACE)
			r = compare_texts(a->values[i].value.text, b->values[i].value.text);
	return r;
}

static int compare_addresses(const struct address *a, const struct address *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(&a->storage, &b->storage, a->len);
}

/* Listeners that stand in each other's way compare as equal. */
static int compare_legs(const struct config_leg *a, const struct config_leg *b)
{
	int r;

	r = strcmp(a->family->name, b->family->name);
	if (r == 0)
		r = (a->row->type > b->row->type) - (a->row->type < b->row->type);
	if (r == 0)
		r = compare_texts(a->host_name, b->host_name);
	if (r == 0)
		r = compare_addresses(&a->address, &b->address);
	return r ? r : compare_interfaces(a, b);
}

/* Another network namespace has addresses of its own. */
static int compare_listeners(const struct listener *a, const struct listener *b)
{
	int r = compare_texts(a->endpoint->values[ENDPOINT_NETNS].value.text,
			      b->endpoint->values[ENDPOINT_NETNS].value.text);

	return r ? r : compare_legs(a->leg, b->leg);
}

static int compare(const void *a, const void *b)
{
	const struct listener *one = a, *two = b;
	int r;

	r = compare_listeners(one, two);
	if (r == 0 && one->leg->host_name)
		r = strcmp(one->endpoint->text, two->endpoint->text);
	return r ? r : one->number < two->number ? -1 : 1;
}

static bool is_same(const struct listener *a, const struct listener *b)
{
	return compare_listeners(a, b) == 0 &&
	       (!a->leg->host_name || strcmp(a->endpoint->text, b->endpoint->text) == 0);
}

static unsigned count_legs(const struct config *config)
{
	unsigned n = 0;

	for (unsigned i = 0; i < config->n_routes; i++)
		for (unsigned j = 0; j < config->routes[i].n_listen; j++)
			n += config->routes[i].listen[j].n_legs;
	return n;
}

/* Everybody may have a feed of their own. */
static bool is_feed(const struct config_endpoint *endpoint)
{
	return endpoint->legs[0].row->capabilities & SPLICED_FEED;
}

static unsigned collect(const struct config *config, struct listener *listeners)
{
	unsigned n = 0;

	for (unsigned i = 0; i < config->n_routes; i++) {
		const struct config_route *route = &config->routes[i];

		for (unsigned j = 0; j < route->n_listen && route->enabled; j++)
			for (unsigned k = 0;
			     k < route->listen[j].n_legs && !is_feed(&route->listen[j]); k++, n++)
				listeners[n] = (struct listener){.route = route,
								 .endpoint = &route->listen[j],
								 .leg = &route->listen[j].legs[k],
								 .number = n};
	}
	return n;
}

static void report(struct check *check, const struct listener *first, const struct listener *second)
{
	char text[320];

	check_error(
		check, second->endpoint->location,
		"route %s: %s is already used by the listener of route %s at %s; change one of "
		"them",
		second->route->name, second->endpoint->text, first->route->name,
		config_location_text(check->config, first->endpoint->location, text, sizeof(text)));
}

/* Another port of a range, in the way of the same route as the one before. */
static bool is_reported(const struct listener *listener, const struct listener *other,
			const struct config_endpoint *reported, const struct config_route *with)
{
	return listener->endpoint == reported ||
	       (listener->endpoint->continues && listener->endpoint - 1 == reported &&
		other->route == with);
}

/* In the order of the file; once for the two legs of `ip`, and for neighbours in a range. */
static void report_all(struct check *check, const struct listener *const *by_number,
		       const struct listener *const *others, unsigned n)
{
	const struct config_endpoint *reported = NULL;
	const struct config_route *with = NULL;

	for (unsigned i = 0; i < n; i++) {
		if (!others[i])
			continue;
		if (!is_reported(by_number[i], others[i], reported, with))
			report(check, others[i], by_number[i]);
		reported = by_number[i]->endpoint;
		with = others[i]->route;
	}
}

int conflict_check(struct check *check)
{
	unsigned n = count_legs(check->config);
	struct listener *listeners = arena_take(check->scratch, n, sizeof(*listeners));
	const struct listener **by_number = arena_take(check->scratch, n, sizeof(*by_number));
	const struct listener **others = arena_take(check->scratch, n, sizeof(*others));

	if (!listeners || !by_number || !others)
		return -ENOMEM;
	n = collect(check->config, listeners);
	qsort(listeners, n, sizeof(*listeners), compare);
	for (unsigned i = 0, first = 0; i < n; i++) {
		by_number[listeners[i].number] = &listeners[i];
		if (!is_same(&listeners[first], &listeners[i]))
			first = i;
		else if (i > first)
			others[listeners[i].number] = &listeners[first];
	}
	report_all(check, by_number, others, n);
	return 0;
}
