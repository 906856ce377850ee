/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Routes: their own options, endpoints, rules, and what they take from `defaults`. A setting that
 * came from there keeps the location where it is written there.
 */
#include "config/route.h"

#include "base/arena.h"
#include "config/ask.h"
#include "config/check.h"
#include "config/endpoint.h"
#include "config/expand.h"
#include "config/health.h"
#include "config/member.h"
#include "config/options.h"
#include "config/pair.h"
#include "config/port.h"
#include "config/rule.h"
#include "config/schema.h"
#include "config/stray.h"
#include "language/setting.h"

#include <errno.h>
#include <string.h>

static const struct options_table defaults_table = {
	.options = schema_route,
	.n_options = ROUTE_OPTIONS,
	.keys = schema_defaults_keys,
	.manual = "see spliced.conf(5)",
};

static const struct options_table route_table = {
	.options = schema_route,
	.n_options = ROUTE_OPTIONS,
	.keys = schema_route_keys,
	.manual = "see spliced.conf(5)",
};

int route_read_defaults(struct check *check, struct setting *group, struct route_defaults *defaults)
{
	static const char *const own[] = {"listen", "dial", "target", NULL};
	int r;

	if (group->type != SETTING_GROUP) {
		check->reader.where = NULL;
		check_error(check, group->location,
			    "defaults is %s; it must be a group: defaults: { ... };",
			    setting_type_name(group));
		return 0;
	}
	r = options_read(check, &defaults_table, group, defaults->values);
	if (r < 0)
		return r;
	health_note_group(group, &defaults->values[ROUTE_HEALTH]);
	defaults->allow = setting_take(group, "allow");
	defaults->deny = setting_take(group, "deny");
	for (const char *const *key = own; *key; key++) {
		const struct setting *setting = setting_take(group, *key);

		if (setting)
			check_error(check, setting->location,
				    "\"%s\" cannot have a default; set it in each route", *key);
	}
	stray_report(check, group, STRAY_IN_DEFAULTS);
	options_report_unknown(check, &defaults_table, group);
	return 0;
}

static int read_values(struct check *check, struct setting *group,
		       const struct route_defaults *defaults, struct config_route *route)
{
	int r;

	r = options_read(check, &route_table, group, route->values);
	if (r < 0)
		return r;
	health_note_group(group, &route->values[ROUTE_HEALTH]);
	health_inherit(&route->values[ROUTE_HEALTH], &defaults->values[ROUTE_HEALTH]);
	for (unsigned i = 0; i < ROUTE_OPTIONS; i++)
		if ((i < ROUTE_HEALTH || i >= ROUTE_ON_DOWN) &&
		    route->values[i].value.state == SPLICED_UNSET) {
			route->values[i] = defaults->values[i];
			route->values[i].inherited = true;
		}
	return options_set_defaults(check, &route_table, route->values);
}

enum { MESSAGE_IDLE_SECONDS = 60, MESSAGE_HALF_CLOSED_SECONDS = 2 };

/* The values again, as the data path reads them. */
static void copy_values(struct config_route *route)
{
	const struct config_value *values = route->values;

	route->enabled = values[ROUTE_ENABLED].value.number;
	route->connect_timeout = (uint64_t)values[ROUTE_TIMEOUT_CONNECT].value.number;
	route->idle_timeout = (uint64_t)values[ROUTE_TIMEOUT_IDLE].value.number;
	route->message_idle_timeout = values[ROUTE_TIMEOUT_IDLE].value.state == SPLICED_UNSET
					      ? MESSAGE_IDLE_SECONDS * UINT64_C(1000000000)
					      : route->idle_timeout;
	route->half_closed_timeout = (uint64_t)values[ROUTE_TIMEOUT_HALF_CLOSED].value.number;
	route->message_half_closed_timeout =
		values[ROUTE_TIMEOUT_HALF_CLOSED].value.state == SPLICED_UNSET
			? MESSAGE_HALF_CLOSED_SECONDS * UINT64_C(1000000000)
			: route->half_closed_timeout;
	route->replies = values[ROUTE_REPLIES].value.state == SPLICED_UNSET
				 ? -1
				 : values[ROUTE_REPLIES].value.number;
	route->overflow = values[ROUTE_OVERFLOW].value.state == SPLICED_UNSET
				  ? OVERFLOW_AUTO
				  : (enum config_overflow)(OVERFLOW_BLOCK +
							   values[ROUTE_OVERFLOW].value.number);
	route->balance = (enum config_balance)values[ROUTE_BALANCE].value.number;
	route->backoff = (uint64_t)values[ROUTE_RETRY_BACKOFF].value.number;
	route->max_backoff = (uint64_t)values[ROUTE_RETRY_MAX_BACKOFF].value.number;
	route->retry_total = (uint64_t)values[ROUTE_RETRY_TOTAL].value.number;
	route->resolve = (uint64_t)values[ROUTE_RESOLVE].value.number;
	route->attempts = values[ROUTE_RETRY_ATTEMPTS].value.state == SPLICED_UNSET
				  ? UINT32_MAX
				  : (uint32_t)values[ROUTE_RETRY_ATTEMPTS].value.number;
	route->on_down = (enum config_on_down)values[ROUTE_ON_DOWN].value.number;
	route->limit_sessions = (uint32_t)values[ROUTE_LIMIT_SESSIONS].value.number;
}

static void check_backoff(struct check *check, const struct config_route *route)
{
	const struct config_value *least = &route->values[ROUTE_RETRY_BACKOFF];
	const struct config_value *most = &route->values[ROUTE_RETRY_MAX_BACKOFF];

	if (most->value.number < least->value.number)
		check_error(check, most->location.line ? most->location : least->location,
			    "retry.max_backoff is less than retry.backoff; it must be at least as "
			    "long");
}

/* Where clients arrive, or what is connected to in their place. */
static int read_front(struct check *check, struct setting *group, struct config_route *route)
{
	struct setting *listen = setting_take(group, "listen"), *dial = setting_take(group, "dial");
	bool well = true;
	int r = 0;

	if (listen && dial)
		check_error(
			check, dial->location,
			"both listen and dial are set; a route can have only one of them: divide the route");
	if (!listen && !dial && !options_means(&route_table, group, "listen") &&
	    !options_means(&route_table, group, "dial"))
		check_error(
			check, route->location,
			"listen is missing; set where clients connect, such as \"tcp://:8080\", or "
			"set dial to connect out instead");
	if (listen)
		r = endpoint_read_list(check, route, "listen", listen, &route->listen,
				       &route->n_listen, &well);
	if (!well)
		route->n_listen = 0; /* so that nothing is refused for a listener that is missing */
	if (dial && r == 0)
		r = endpoint_read_list(check, route, "dial", dial, &route->dial, &route->n_dial,
				       &well);
	if (!well)
		route->n_dial = 0;
	return r;
}

static int read_endpoints(struct check *check, struct setting *group, struct config_route *route)
{
	struct setting *target = setting_take(group, "target");
	bool well = true;
	int r;

	r = read_front(check, group, route);
	if (r < 0)
		return r;
	if (!target && !options_means(&route_table, group, "target"))
		check_error(
			check, route->location,
			"target is missing; set where to forward to, such as \"tcp://localhost:80\"");
	if (target)
		r = endpoint_read_list(check, route, "target", target, &route->targets,
				       &route->n_targets, &well);
	if (!well)
		route->n_targets = 0;
	return r;
}

/* The name of a front without clients, or NULL. */
static const char *name_lonely(const struct setting *group, const struct config_route *route)
{
	if (setting_find(group, "dial"))
		return "dial";
	if (route->n_listen && route->listen[0].legs[0].row->capabilities & SPLICED_FEED)
		return "a feed";
	return NULL;
}

static void refuse_rules(struct check *check, const struct setting *rules, const char *lonely)
{
	if (rules)
		check_error(check, rules->location,
			    "%s is only for clients, and %s has none; remove it", rules->name,
			    lonely);
}

static int read_rules(struct check *check, struct setting *group,
		      const struct route_defaults *defaults, struct config_route *route)
{
	const struct setting *allow = setting_take(group, "allow"),
			     *deny = setting_take(group, "deny");
	const char *lonely = name_lonely(group, route);
	int r = 0;

	if (lonely) {
		refuse_rules(check, allow, lonely);
		refuse_rules(check, deny, lonely);
		return 0;
	}
	allow = allow ? allow : defaults->allow;
	deny = deny ? deny : defaults->deny;
	route->has_allow = allow;
	if (allow)
		r = rule_read_list(check, route, "allow", allow, &route->allow, &route->n_allow);
	if (deny && r == 0)
		r = rule_read_list(check, route, "deny", deny, &route->deny, &route->n_deny);
	return r;
}

static void ask_legs_of(struct check *check, struct config_endpoint *endpoints, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < endpoints[i].n_legs; k++)
			ask_system(check, &endpoints[i], &endpoints[i].legs[k]);
}

static void ask_legs(struct check *check, struct config_route *route)
{
	ask_legs_of(check, route->listen, route->n_listen);
	ask_legs_of(check, route->dial, route->n_dial);
	ask_legs_of(check, route->targets, route->n_targets);
}

int route_read(struct check *check, struct setting *setting, const struct route_defaults *defaults,
	       struct config_route *route)
{
	unsigned errors = check->reader.errors;
	int r;

	route->location = setting->location;
	route->name = arena_copy_text(check->arena, setting->name);
	if (!route->name)
		return -ENOMEM;
	if (strchr(setting->name, '*'))
		check_error(check, setting->location,
			    "a route's name must be a letter, then letters, digits, '-' and '_'");
	if (setting->type != SETTING_GROUP) {
		check->reader.where = NULL;
		check_error(
			check, setting->location,
			"route %s is %s; a route is a group: %s: { listen = ...; target = ...; };",
			setting->name, setting_type_name(setting), setting->name);
		return 0;
	}
	r = read_values(check, setting, defaults, route);
	if (r < 0)
		return r;
	check_backoff(check, route);
	r = read_endpoints(check, setting, route);
	if (r < 0)
		return r;
	pair_check(check, route);
	port_check(check, route);
	r = health_read(check, route);
	if (r < 0)
		return r;
	if (check->reader.errors == errors) {
		ask_legs(check, route);
		r = expand_route(check, route);
	}
	if (r < 0)
		return r;
	copy_values(route);
	member_settle(route);
	r = read_rules(check, setting, defaults, route);
	if (r < 0)
		return r;
	stray_report(check, setting, STRAY_IN_ROUTE);
	options_report_unknown(check, &route_table, setting);
	return 0;
}
