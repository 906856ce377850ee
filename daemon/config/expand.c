/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/expand.h"

#include "base/arena.h"
#include "base/index.h"
#include "config/check.h"
#include "config/health.h"

#include <errno.h>
#include <string.h>

enum { WEIGHT_MAX = 1000 /* times a record's, and the units of a pool, it fits 32 bits */ };

static bool is_expanded(const struct config_endpoint *endpoint)
{
	const struct spliced_value *value = &endpoint->values[ENDPOINT_EXPAND].value;

	return endpoint->service || (value->state != SPLICED_UNSET && value->number);
}

bool expand_is_service(const char *host)
{
	const char *dot = strchr(host, '.');

	return host[0] == '_' && dot && dot[1] == '_' && strchr(dot + 1, '.');
}

/* What its records say. */
static void check_service(struct check *check, const struct config_endpoint *endpoint)
{
	const struct config_value *expand = &endpoint->values[ENDPOINT_EXPAND],
				  *weight = &endpoint->values[ENDPOINT_WEIGHT];
	const struct config_leg *leg = &endpoint->legs[0];
	const struct spliced_option *port = family_option(leg->family, "port");
	const struct config_value *value = &leg->values[port - leg->family->options];

	if (expand->value.state != SPLICED_UNSET && !expand->value.number)
		check_error(check, expand->location,
			    "%s.expand is false, but %s is the name of a service, each of whose "
			    "addresses is a target; remove expand",
			    endpoint->key, leg->host_name);
	if (value->value.state != SPLICED_UNSET)
		check_error(check, value->location,
			    "%s.port is set, but %s is the name of a service, whose SRV records "
			    "have the ports; remove port",
			    endpoint->key, leg->host_name);
	if (weight->value.state != SPLICED_UNSET && weight->value.number > WEIGHT_MAX)
		check_error(
			check, weight->location,
			"%s.weight is %lld; for the name of a service, it must be from 0 to %d: "
			"the weights of its SRV records are multiplied by it",
			endpoint->key, (long long)weight->value.number, (int)WEIGHT_MAX);
	if (endpoint->values[ENDPOINT_UNIT].value.state != SPLICED_UNSET)
		check_error(check, endpoint->values[ENDPOINT_UNIT].location,
			    "%s.unit is of this machine, and the name of a service may have many "
			    "machines; remove it",
			    endpoint->key);
}

/* At other endpoints it is refused elsewhere: member.h. */
void expand_check(struct check *check, const struct config_endpoint *endpoint)
{
	const struct config_value *value = &endpoint->values[ENDPOINT_EXPAND];

	if (strcmp(endpoint->key, "target") != 0 || !is_expanded(endpoint))
		return;
	if (endpoint->service) {
		check_service(check, endpoint);
		return;
	}
	if (!endpoint->legs[0].host_name)
		check_error(check, value->location,
			    "%s.expand is for names, and this target has none; remove it",
			    endpoint->key);
	if (endpoint->values[ENDPOINT_UNIT].value.state != SPLICED_UNSET)
		check_error(check, value->location,
			    "%s.expand and %s.unit are both set; the unit is of this machine, and "
			    "a name may have many: remove one of them",
			    endpoint->key, endpoint->key);
}

/* The places are checked one by one, and by each route: the same place of another may have another
 * address. */
static int divide_health(struct check *check, const struct config_route *route,
			 struct config_endpoint *place)
{
	struct config_health *own;

	if (!place->health)
		return 0;
	own = arena_take(check->arena, 1, sizeof(*own));
	if (!own)
		return -ENOMEM;
	*own = *place->health;
	own->digest ^= index_hash_text(route->name, place->place);
	place->health = own;
	return 0;
}

static int add_places(struct check *check, const struct config_route *route,
		      const struct config_endpoint *endpoint, struct config_endpoint *places)
{
	int r = 0;

	for (unsigned i = 0; i < CONFIG_PLACES && r == 0; i++) {
		places[i] = *endpoint;
		places[i].place = i + 1;
		places[i].name = arena_print(check->arena, "%s#%u", endpoint->name, i + 1);
		r = places[i].name ? divide_health(check, route, &places[i]) : -ENOMEM;
	}
	return r;
}

/* Another target may be called like a place. */
static void check_names(struct check *check, const struct config_route *route)
{
	for (unsigned i = 0; i < route->n_targets; i++)
		for (unsigned k = 0; k < route->n_targets && is_expanded(&route->targets[i]); k++) {
			const char *name = route->targets[i].name, *other = route->targets[k].name;
			size_t len = strlen(name);

			if (strncmp(other, name, len) == 0 && other[len] == '#')
				check_error(check, route->targets[k].location,
					    "target \"%s\" is called like an address of \"%s\"; "
					    "set another name",
					    other, name);
		}
}

int expand_route(struct check *check, struct config_route *route)
{
	unsigned n = 0, names = 0;
	struct config_endpoint *targets;
	int r = 0;

	for (unsigned i = 0; i < route->n_targets; i++)
		names += is_expanded(&route->targets[i]);
	if (!names)
		return 0;
	check_names(check, route);
	targets = arena_take(check->arena, route->n_targets + names * (CONFIG_PLACES - 1),
			     sizeof(*targets));
	if (!targets)
		return -ENOMEM;
	for (unsigned i = 0; i < route->n_targets && r == 0; i++) {
		if (is_expanded(&route->targets[i])) {
			r = add_places(check, route, &route->targets[i], targets + n);
			n += CONFIG_PLACES;
		} else {
			targets[n++] = route->targets[i];
		}
	}
	route->targets = targets;
	route->n_targets = n;
	return r;
}
