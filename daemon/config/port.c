/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/port.h"

#include "base/arena.h"
#include "config/check.h"
#include "config/limit.h"
#include "language/setting.h"
#include "net/passed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PORT_MAX = 65535 };

static const char option_name[] = "port", digits[] = "0123456789";

static bool is_ip(const struct config_leg *leg)
{
	return leg->row->domain == AF_INET || leg->row->domain == AF_INET6;
}

/* Digits up to `end`. 0: none, or more than any port has. */
static unsigned read_port(const char *text, const char *end)
{
	size_t len = (size_t)(end - text);

	if (!len || len > 5 || strspn(text, digits) < len)
		return 0;
	return (unsigned)strtoul(text, NULL, 10);
}

/* The setting of a port, where it is text that only a range can be meant by. */
static struct setting *find_range(const struct config_endpoint *endpoint,
				  const struct setting *group)
{
	struct setting *setting = setting_find(group, option_name);

	if (!setting || !setting->text || !is_ip(&endpoint->legs[0]) ||
	    !strspn(setting->text, digits) || setting->text[strspn(setting->text, digits)] != '-')
		return NULL;
	return setting;
}

/* Reports what is wrong with it. */
static bool is_right(struct check *check, const struct config_endpoint *endpoint,
		     const struct setting *group, const struct setting *setting, unsigned first,
		     unsigned last)
{
	const char *key = endpoint->key, *text = setting->text;

	if (endpoint->role != SPLICED_LISTEN)
		check_error(check, setting->location,
			    "%s.port is \"%.40s\"; a range is only for listen; set one port%s", key,
			    text,
			    strcmp(key, "target") == 0
				    ? ", or \"+0\": the port that the client arrived at"
				    : "");
	else if (setting_find(group, "fd"))
		check_error(check, setting->location,
			    "%s.port is a range, and %s.fd is one socket; set its port", key, key);
	else if (!first || !last || first > PORT_MAX || last > PORT_MAX)
		check_error(check, setting->location,
			    "%s.port is \"%.40s\"; a range must be two ports from 1 to %d, such as "
			    "\"4000-4999\"",
			    key, text, PORT_MAX);
	else if (first > last)
		check_error(check, setting->location,
			    "%s.port is \"%s\"; a range begins with the lower port: \"%u-%u\"", key,
			    text, last, first);
	else if (last - first >= LIMIT_LISTENERS)
		check_error(check, setting->location,
			    "%s.port is \"%s\", %u ports; a range can have at most %d", key, text,
			    last - first + 1, LIMIT_LISTENERS);
	else
		return true;
	return false;
}

bool port_begin(struct check *check, const struct config_endpoint *endpoint, struct setting *group,
		struct port_range *ret)
{
	struct setting *setting = find_range(endpoint, group);
	unsigned first, last;
	const char *dash;

	*ret = (struct port_range){0};
	if (!setting)
		return true;
	dash = strchr(setting->text, '-');
	first = read_port(setting->text, dash);
	last = read_port(dash + 1, dash + strlen(dash));
	if (!is_right(check, endpoint, group, setting, first, last))
		return false;
	*ret = (struct port_range){.setting = setting, .last = last};
	setting->type = SETTING_NUMBER;
	setting->text = NULL;
	setting->number = first;
	return true;
}

bool port_next(struct port_range *range)
{
	if (!range->setting || range->setting->number >= range->last)
		return false;
	range->setting->number++;
	return true;
}

bool port_is_relative(const struct config_leg *leg, const struct spliced_option *option,
		      const struct setting *setting)
{
	return is_ip(leg) && strcmp(option->name, option_name) == 0 && setting->text &&
	       setting->text[0] == '+';
}

int port_read_relative(struct check *check, const struct config_endpoint *endpoint, const char *key,
		       const struct setting *setting, struct config_value *value)
{
	const char *text = setting->text + 1;
	size_t len = strlen(text);
	unsigned offset = read_port(text, text + len);

	if (setting->damaged)
		return 0;
	if (strcmp(endpoint->key, "target") != 0) {
		check_error(check, setting->location,
			    "%s is \"%.40s\"; \"+N\" is only for targets; set a port", key,
			    setting->text);
		return 0;
	}
	if (!len || text[strspn(text, digits)] || len > 5 || offset >= PORT_MAX) {
		check_error(check, setting->location,
			    "%s is \"%.40s\"; it must be a number from 1 to %d, or \"+N\": the "
			    "port that the client arrived at plus N, which is 0 to %d",
			    key, setting->text, PORT_MAX, PORT_MAX - 1);
		return 0;
	}
	*value = (struct config_value){.location = setting->location};
	value->value.number = offset;
	value->value.state = SPLICED_SET;
	value->value.text = arena_print(check->arena, "+%u", offset);
	return value->value.text ? 0 : -ENOMEM;
}

void port_settle(struct config_endpoint *endpoint)
{
	for (unsigned i = 0; i < endpoint->n_legs; i++) {
		struct config_leg *leg = &endpoint->legs[i];
		const struct spliced_option *option = family_option(leg->family, option_name);
		const struct spliced_value *value =
			option && is_ip(leg) ? &leg->values[option - leg->family->options].value
					     : NULL;

		if (!value || value->state == SPLICED_UNSET)
			continue;
		endpoint->follows_port = value->text != NULL;
		if (endpoint->follows_port)
			endpoint->port_offset = (uint16_t)value->number;
		else
			leg->port = (uint16_t)value->number;
	}
}

/* Of a socket that systemd passes nothing is known, where none is passed. */
static bool is_unknown(const struct config_endpoint *listener)
{
	return listener->values[ENDPOINT_FD].value.text && !passed_at(0);
}

/* False, reported: a client of this listener would have no port at the target. */
static bool fits(struct check *check, const struct config_endpoint *target,
		 const struct config_endpoint *listener)
{
	unsigned port = listener->legs[0].port;

	if (!port && !is_unknown(listener))
		check_error(check, target->location,
			    "target.port is \"+%u\", but listen %s has no port; set the port of "
			    "the target",
			    target->port_offset, listener->text);
	else if (port + target->port_offset > PORT_MAX)
		check_error(check, target->location,
			    "target.port is \"+%u\", and listen has port %u: together %u, but the "
			    "highest port is %d",
			    target->port_offset, port, port + target->port_offset, PORT_MAX);
	else
		return true;
	return false;
}

void port_check(struct check *check, const struct config_route *route)
{
	for (unsigned i = 0; i < route->n_targets; i++) {
		const struct config_endpoint *target = &route->targets[i];

		if (target->follows_port && route->n_dial)
			check_error(check, target->location,
				    "target.port is \"+%u\", but dial has no port that clients "
				    "arrive at; set the port of the target",
				    target->port_offset);
		for (unsigned k = 0; k < route->n_listen && target->follows_port; k++)
			if (!fits(check, target, &route->listen[k]))
				break;
	}
}
