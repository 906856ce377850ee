/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nothing here is refused: each of these settings is valid, and may be intended. But most operators
 * who write it want something else, and would notice only when traffic does not arrive. A route
 * that is not enabled is not checked.
 */
#include "config/warning.h"

#include "base/index.h"
#include "config/check.h"
#include "net/family.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* keepalive(7)'s first probe, as the families of IP set it. */
#define KEEPALIVE_NS (INT64_C(60) * 1000000000)

static bool is_everybody(const struct config_rule *rule)
{
	return rule->kind == RULE_ADDRESS && strlen(rule->text) > 2 &&
	       strcmp(rule->text + strlen(rule->text) - 2, "/0") == 0;
}

static bool has_rule(const struct config_rule *rules, unsigned n, const struct config_rule *rule)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(rules[i].text, rule->text) == 0)
			return true;
	return false;
}

/* Each family of the listeners is denied as a whole. */
static bool denies_everybody(const struct config_route *route)
{
	bool by_inet = false, by_inet6 = false;

	for (unsigned i = 0; i < route->n_deny; i++)
		if (is_everybody(&route->deny[i]))
			*(strchr(route->deny[i].text, ':') ? &by_inet6 : &by_inet) = true;
	for (unsigned i = 0; i < route->n_listen; i++)
		for (unsigned k = 0; k < route->listen[i].n_legs; k++) {
			int domain = route->listen[i].legs[k].row->domain;

			if (!(domain == AF_INET ? by_inet : domain == AF_INET6 && by_inet6))
				return false;
		}
	return route->n_listen > 0;
}

/* A denied rule is stronger than the same that is allowed. */
static bool allows_nobody(const struct config_route *route)
{
	for (unsigned i = 0; i < route->n_allow; i++)
		if (!has_rule(route->deny, route->n_deny, &route->allow[i]))
			return false;
	return route->has_allow && !route->waits_for_names;
}

static void check_access(struct check *check, const struct config_route *route)
{
	if (allows_nobody(route))
		check_warning(
			check, route->location,
			"allow admits no clients; use \"enabled = false\" to disable a route");
	else if (route->n_allow == 0 && denies_everybody(route))
		check_warning(check, route->location,
			      "deny refuses all clients; list those to accept in allow");
}

/* A keepalive that was asked for, and that the end of the idle session comes before. */
static void check_idle(struct check *check, const struct config_route *route,
		       const struct config_endpoint *endpoints, unsigned n)
{
	const struct config_value *idle = &route->values[ROUTE_TIMEOUT_IDLE];

	if (idle->value.state != SPLICED_SET || idle->value.number <= 0 ||
	    idle->value.number > KEEPALIVE_NS)
		return;
	for (unsigned i = 0; i < n; i++) {
		const struct config_leg *leg = &endpoints[i].legs[0];
		const struct spliced_option *option = family_option(leg->family, "keepalive");
		const struct config_value *value =
			option ? &leg->values[option - leg->family->options] : NULL;

		if (value && value->value.state == SPLICED_SET && value->value.number &&
		    value->location.line && !endpoints[i].continues)
			check_warning(
				check, idle->location,
				"timeout.idle closes a session before the first keepalive probe of %s, which is sent after 60s",
				endpoints[i].key);
	}
}

static void check_limit(struct check *check, const struct config_route *route)
{
	const struct config_value *limit = &route->values[ROUTE_LIMIT_SESSIONS];
	int64_t most = check->config->daemon[DAEMON_MAX_SESSIONS].value.number;

	if (limit->value.state == SPLICED_SET && limit->value.number > most)
		check_warning(
			check, limit->location,
			"limit.sessions is %lld, but daemon.max_sessions is %lld for all routes: it is never reached",
			(long long)limit->value.number, (long long)most);
}

struct target {
	const struct config_route *route;
	const struct config_endpoint *endpoint;
};

/* Streams to one address, framed in two ways: one of them is read wrongly there. */
static void check_framing(struct check *check, const struct target *targets, uint32_t n,
			  const struct target *target, const struct index *index)
{
	const char *text = target->endpoint->text;
	char where[320];
	uint32_t i;

	for (size_t at = 0; index_next(index, index_hash_text(text, 0), &at, &i);) {
		const struct target *other = &targets[i];

		if (i >= n || strcmp(other->endpoint->text, text) != 0 ||
		    other->endpoint->framing == target->endpoint->framing ||
		    !other->endpoint->framing || !target->endpoint->framing)
			continue;
		check_warning(
			check, target->endpoint->location,
			"route %s sends to %s with another framing, at %s; one of them must be wrong",
			other->route->name, text,
			config_location_text(check->config, other->endpoint->location, where,
					     sizeof(where)));
		return;
	}
}

enum { FRAMED_MAX = 4096 };

static void check_framings(struct check *check)
{
	static struct target targets[FRAMED_MAX];
	struct index index = {0};
	uint32_t n = 0;

	for (unsigned r = 0; r < check->config->n_routes; r++) {
		const struct config_route *route = &check->config->routes[r];

		for (unsigned i = 0; i < route->n_targets && route->enabled && n < FRAMED_MAX;
		     i++) {
			targets[n] =
				(struct target){.route = route, .endpoint = &route->targets[i]};
			if (!route->targets[i].framing)
				continue;
			check->reader.where = NULL;
			check_framing(check, targets, n, &targets[n], &index);
			if (index_add(&index, index_hash_text(route->targets[i].text, 0), n) < 0)
				break;
			n++;
		}
	}
	index_done(&index);
}

void warning_check(struct check *check)
{
	char where[160];

	for (unsigned i = 0; i < check->config->n_routes; i++) {
		const struct config_route *route = &check->config->routes[i];

		if (!route->enabled)
			continue;
		snprintf(where, sizeof(where), "route %.128s", route->name);
		check->reader.where = where;
		check_access(check, route);
		check_idle(check, route, route->listen, route->n_listen);
		check_idle(check, route, route->targets, route->n_targets);
		check_limit(check, route);
	}
	check->reader.where = NULL;
	check_framings(check);
}
