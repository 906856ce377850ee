/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the tables of a family meet what was written. Most endpoints have one leg; those of `ip`
 * have two, which read the same settings.
 */
#include "config/endpoint_legs.h"

#include "base/arena.h"
#include "config/ask.h"
#include "config/check.h"
#include "config/expand.h"
#include "config/expect.h"
#include "config/host.h"
#include "config/ip.h"
#include "config/plugin_host.h"
#include "config/port.h"
#include "config/schema.h"
#include "config/unknown.h"
#include "config/value.h"
#include "language/setting.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Did another leg read this option already? It reported what is wrong with it. */
static bool is_repeated(const struct config_endpoint *endpoint, unsigned leg, const char *name)
{
	for (unsigned i = 0; i < leg; i++)
		if (family_option(endpoint->legs[i].family, name))
			return true;
	return false;
}

/* Whether the host, which was read before, is the name of a service. */
static bool is_service(const struct config_endpoint *endpoint, const struct config_leg *leg)
{
	const char *host = leg->host_option >= 0 ? leg->values[leg->host_option].value.text : NULL;

	return strcmp(endpoint->key, "target") == 0 && host && expand_is_service(host) &&
	       family_option(leg->family, "port");
}

/* The SRV records of a service have it. */
static bool is_in_records(const struct config_endpoint *endpoint, const struct config_leg *leg,
			  const struct spliced_option *option)
{
	return strcmp(option->name, "port") == 0 && is_service(endpoint, leg);
}

/* One option of one leg; what another leg could not read is left unset here, too. */
static int read_option(struct check *check, const struct config_endpoint *endpoint, unsigned i_leg,
		       const struct spliced_option *option, const struct setting *group,
		       struct setting *setting, struct config_value *value)
{
	bool repeated = is_repeated(endpoint, i_leg, option->name);
	char key[96];
	int r = 0;

	snprintf(key, sizeof(key), "%s.%s", endpoint->key, option->name);
	if (setting) {
		unsigned errors = check->reader.errors;

		setting->seen = true;
		r = port_is_relative(&endpoint->legs[i_leg], option, setting)
			    ? port_read_relative(check, endpoint, key, setting, value)
			    : value_read(check, option, key, setting, value);
		setting->damaged =
			setting->damaged || check->reader.errors > errors; /* reported once */
		return r;
	}
	r = value_set_default(check->arena, option, &value->value);
	if (r == -EINVAL)
		check_error(check, endpoint->location,
			    "family \"%s\": the default of \"%s\" is not one of its values; "
			    "this is a bug in the plugin",
			    endpoint->family, option->name);
	if (r == 0 && value->value.state == SPLICED_UNSET && (option->flags & SPLICED_REQUIRED) &&
	    !repeated && !unknown_means(endpoint, group, option->name) &&
	    !is_in_records(endpoint, &endpoint->legs[i_leg], option))
		check_error(check, endpoint->location, "%s is missing; it must be %s", key,
			    expect_text(option, (char[640]){""}, 640));
	return r == -ENOMEM ? r : 0;
}

static int read_options(struct check *check, struct setting *group,
			struct config_endpoint *endpoint, unsigned i_leg)
{
	struct config_leg *leg = &endpoint->legs[i_leg];
	uint32_t n = leg->family->plugin.n_options;
	int r;

	leg->values = arena_take(check->arena, n, sizeof(*leg->values));
	leg->host_option = family_host_option(leg->family, leg->row, endpoint->role);
	if (!leg->values)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const struct spliced_option *option = &leg->family->options[i];
		struct setting *setting = setting_find(group, option->name);

		if (!family_option_applies(leg->family, leg->row, endpoint->role, option))
			continue;
		r = read_option(check, endpoint, i_leg, option, group, setting, &leg->values[i]);
		if (r < 0)
			return r;
	}
	leg->options = (struct spliced_options){
		.size = sizeof(leg->options),
		.value_stride = sizeof(*leg->values),
		.host = &plugin_host,
		.row = leg->row,
		.role = endpoint->role,
		.n_values = n,
		.values = leg->values,
		.format = endpoint->format ? endpoint->format->name : NULL,
	};
	return 0;
}

/* The bytes of a number, where they are this family's. */
static int set_host(struct check *check, const struct config_leg *leg, const struct host *host,
		    struct spliced_value *value)
{
	int domain = leg->row->domain;

	if ((domain == AF_INET && host->len != 4) || (domain == AF_INET6 && host->len != 16))
		return 0;
	value->host = arena_copy(check->arena, (const char *)host->bytes, host->len);
	value->host_len = host->len;
	value->host_scope = host->scope;
	return value->host ? 0 : -ENOMEM;
}

/* Puts the address that a listener's name has now in the name's place. */
static int resolve(struct check *check, struct config_leg *leg, struct config_value *value,
		   bool *found)
{
	char text[HOST_TEXT_MAX];
	struct host host;

	*found = host_resolve(value->value.text, leg->row->domain == AF_INET ? 4 : 16, &host) == 0;
	if (!*found)
		return 0;
	value->value.text = arena_copy_text(check->arena, host_format(&host, text));
	return value->value.text ? set_host(check, leg, &host, &value->value) : -ENOMEM;
}

/* Reads the HOST option whose name is resolved. A name is stored in leg->host_name. */
static int read_host(struct check *check, const struct config_endpoint *endpoint,
		     struct config_leg *leg)
{
	struct config_value *value = &leg->values[leg->host_option];
	const char *text = value->value.text ? value->value.text : "";
	struct host host;
	bool found;
	int r;

	r = host_parse(text, &host);
	if (r < 0)
		return 0; /* reported */
	if (host.kind == HOST_ANY && endpoint->role == SPLICED_CONNECT)
		check_error(check, value->location.line ? value->location : endpoint->location,
			    "%s.%s is empty; a %s needs the name or address of a machine",
			    endpoint->key, leg->family->options[leg->host_option].name,
			    schema_endpoint_noun(endpoint->key));
	leg->interface = host.interface; /* in the value's own text */
	if (host.len)
		return set_host(check, leg, &host, &value->value);
	if (host.kind != HOST_NAME)
		return 0;
	leg->host_name = value->value.text;
	if (endpoint->role != SPLICED_LISTEN || !check->resolve_listeners)
		return 0;
	r = resolve(check, leg, value, &found);
	if (r == 0 && found)
		leg->host_name = NULL;
	return r;
}

/* Reads one of the further HOST options. Only one name of a leg is resolved, because each address
 * of it makes an address of the endpoint. */
static int read_further_host(struct check *check, const struct config_endpoint *endpoint,
			     struct config_leg *leg, uint32_t option)
{
	const struct spliced_option *options = leg->family->options;
	struct config_value *value = &leg->values[option];
	struct host host;

	if (host_parse(value->value.text ? value->value.text : "", &host) < 0)
		return 0; /* reported */
	if (host.kind == HOST_NAME)
		check_error(check, value->location.line ? value->location : endpoint->location,
			    "%s.%s is \"%s\"; it must be a number: only the name in %s.%s is "
			    "resolved",
			    endpoint->key, options[option].name, value->value.text, endpoint->key,
			    options[leg->host_option].name);
	else if (host.interface)
		check_error(check, value->location.line ? value->location : endpoint->location,
			    "%s.%s is \"%s\"; only %s.%s can contain an interface", endpoint->key,
			    options[option].name, value->value.text, endpoint->key,
			    options[leg->host_option].name);
	return host.len ? set_host(check, leg, &host, &value->value) : 0;
}

static int read_hosts(struct check *check, const struct config_endpoint *endpoint,
		      struct config_leg *leg)
{
	int r = read_host(check, endpoint, leg);

	for (uint32_t i = (uint32_t)leg->host_option + 1;
	     i < leg->family->plugin.n_options && r == 0; i++)
		if (leg->family->options[i].type == SPLICED_HOST)
			r = read_further_host(check, endpoint, leg, i);
	return r;
}

/* Leaves out a leg whose name has no address of its family, where the other has one. */
static void drop_unresolved(struct check *check, struct config_route *route,
			    struct config_endpoint *endpoint)
{
	unsigned n = 0;

	if (endpoint->role != SPLICED_LISTEN || (!check->resolve_listeners && !check->generation))
		return;
	for (unsigned i = 0; i < endpoint->n_legs; i++)
		if (!endpoint->legs[i].host_name)
			endpoint->legs[n++] = endpoint->legs[i];
	if (n == 0 && check_may_wait(check))
		route->waits_for_hosts = true;
	else if (n == 0)
		check_error(check, endpoint->location,
			    "listen: \"%s\" does not resolve now; write a number, or an address "
			    "that this machine has",
			    endpoint->legs[0].host_name);
	else
		endpoint->n_legs = n;
}

int endpoint_legs_read(struct check *check, struct config_route *route, struct setting *group,
		       struct config_endpoint *endpoint)
{
	unsigned errors = check->reader.errors;
	int r;

	r = ip_keep_fitting(check->scratch, group, endpoint);
	for (unsigned i = 0; i < endpoint->n_legs && r == 0; i++)
		r = read_options(check, group, endpoint, i);
	if (r < 0)
		return r;
	for (const struct setting *setting = group->first; setting; setting = setting->next)
		if (!setting->seen)
			unknown_report(check, endpoint, setting);
	if (check->reader.errors > errors)
		return 0;
	for (unsigned i = 0; i < endpoint->n_legs && r == 0 && check->reader.errors == errors; i++)
		if (endpoint->legs[i].host_option >= 0)
			r = read_hosts(check, endpoint, &endpoint->legs[i]);
	if (r < 0 || check->reader.errors > errors)
		return r;
	endpoint->service = is_service(endpoint, &endpoint->legs[0]);
	port_settle(endpoint);
	drop_unresolved(check, route, endpoint);
	for (unsigned i = 0; i < endpoint->n_legs && check->reader.errors == errors; i++)
		ask_address(check, route, endpoint, &endpoint->legs[i]);
	for (unsigned i = 0; i < endpoint->n_legs && check->reader.errors == errors; i++)
		ask_mute(check, &endpoint->legs[i]);
	return 0;
}
