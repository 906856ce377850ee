/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Endpoints: a group, a string that means the same group, or a list of these. Here is what all of
 * them have in common; what differs is in their legs.
 */
#include "config/endpoint.h"

#include "base/arena.h"
#include "base/index.h"
#include "config/check.h"
#include "config/endpoint_legs.h"
#include "config/expand.h"
#include "config/frame.h"
#include "config/health.h"
#include "config/ip.h"
#include "config/member.h"
#include "config/options.h"
#include "config/port.h"
#include "config/row.h"
#include "config/schema.h"
#include "config/scheme.h"
#include "config/unit.h"
#include "language/setting.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct list {
	struct config_route *route;
	const char *key;
	enum spliced_role role;
	struct config_endpoint *endpoints;
	unsigned n;
};

/* What the kernel has for sockets alone. */
static void check_file_keys(struct check *check, const struct config_endpoint *endpoint,
			    const char *prefix)
{
	static const enum config_endpoint_option keys[] = {ENDPOINT_SNDBUF, ENDPOINT_RCVBUF,
							   ENDPOINT_MARK, ENDPOINT_PRIORITY};

	if (!endpoint->n_legs || !(endpoint->legs[0].row->capabilities & SPLICED_FILE))
		return;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (endpoint->values[keys[i]].value.state == SPLICED_SET)
			check_error(
				check, endpoint->values[keys[i]].location,
				"%s%s is for sockets, and family \"%s\" opens a file; remove it",
				prefix, schema_endpoint[keys[i]].name,
				endpoint->legs[0].family->name);
}

static int read_common(struct check *check, struct setting *group, struct config_endpoint *endpoint)
{
	char prefix[16];
	const struct options_table table = {
		.options = schema_endpoint,
		.n_options = ENDPOINT_OPTIONS,
		.prefix = prefix,
		.manual = "see spliced --describe endpoint",
	};
	const struct config_value *name = &endpoint->values[ENDPOINT_NAME];
	int r;

	snprintf(prefix, sizeof(prefix), "%s.", endpoint->key);
	r = options_read(check, &table, group, endpoint->values);
	if (r == 0)
		health_read_group(check, group, endpoint);
	if (r == 0 && endpoint->role != SPLICED_LISTEN && endpoint->values[ENDPOINT_FD].value.text)
		check_error(check, endpoint->values[ENDPOINT_FD].location,
			    "%sfd is a listening socket; use an address for a target",
			    table.prefix);
	options_report_in_groups(check, &table, group);
	member_check(check, endpoint);
	if (r == 0)
		check_file_keys(check, endpoint, table.prefix);
	if (r == 0 && name->value.state != SPLICED_UNSET && !*name->value.text)
		check_error(check, name->location, "%sname is empty; set a name, or omit it",
			    table.prefix);
	return r;
}

/* The name for logs, and the text. */
static int set_names(struct check *check, struct config_endpoint *endpoint)
{
	const struct spliced_value *name = &endpoint->values[ENDPOINT_NAME].value;
	int r;

	r = scheme_print(check, endpoint, &endpoint->text);
	if (r < 0)
		return r;
	endpoint->name = arena_copy_text(
		check->arena, name->state != SPLICED_UNSET ? name->text : endpoint->text);
	return endpoint->name ? 0 : -ENOMEM;
}

/* A group with all settings, those of an endpoint string too; NULL, reported, if there is none. The
 * parts of the string's address have no names yet, because the names depend on the row. */
static int open_group(struct check *check, const char *key, struct setting *setting,
		      struct setting **group, const char **address)
{
	*group = NULL;
	*address = NULL;
	if (setting->damaged)
		return 0;
	if (setting->type == SETTING_GROUP)
		*group = setting;
	else if (setting->type == SETTING_STRING)
		return scheme_split(check, setting, group, address);
	else if (setting->type == SETTING_NUMBER && setting->number > 0 && setting->number < 65536)
		check_error(check, setting->location, "%s is a number; write \"tcp://%s:%d\"", key,
			    strcmp(key, "listen") == 0 ? "" : "localhost", (int)setting->number);
	else
		check_error(check, setting->location,
			    "%s is %s; it must be an endpoint: a group, or a string such as "
			    "\"tcp://localhost:80\"",
			    key, setting_type_name(setting));
	return 0;
}

/* Chooses the rows, and reads the address of an endpoint string; no legs, reported, where one of
 * them is wrong. */
static int open_endpoint(struct check *check, struct setting *group, const char *address,
			 struct config_endpoint *endpoint)
{
	const char *pattern;
	bool well = true;
	int r;

	r = row_choose(check, group, endpoint);
	if (r < 0 || endpoint->n_legs == 0 || !address)
		return r;
	pattern = endpoint->legs[0].row->pattern;
	r = scheme_add_address(check, group, pattern, address, &well);
	if (!well)
		endpoint->n_legs = 0;
	else if (r == 0 && strstr(pattern, "PROTOCOL"))
		r = row_choose(check, group, endpoint); /* which the address tells only now */
	return r;
}

static int read_group(struct check *check, const struct list *list, struct setting *group,
		      struct config_endpoint *endpoint)
{
	int r;

	r = read_common(check, group, endpoint);
	if (r == 0)
		r = frame_read(check, endpoint);
	if (r < 0)
		return r;
	r = endpoint_legs_read(check, list->route, group, endpoint);
	if (r == 0) {
		frame_check_replies(check, endpoint);
		unit_read(check, endpoint);
		expand_check(check, endpoint);
	}
	return r;
}

static int add(struct check *check, struct list *list, const struct config_endpoint *endpoint)
{
	list->endpoints =
		arena_grow(check->arena, list->endpoints, list->n, sizeof(*list->endpoints));
	if (!list->endpoints)
		return -ENOMEM;
	list->endpoints[list->n] = *endpoint;
	return set_names(check, &list->endpoints[list->n++]);
}

static int add_divided(struct check *check, struct list *list,
		       const struct config_endpoint *endpoint)
{
	int r = 0;

	for (unsigned i = 0; i < endpoint->n_legs && r == 0; i++) {
		struct config_endpoint one = ip_divide(endpoint, i);

		r = add(check, list, &one);
	}
	return r;
}

/* The group as it is now, with one port. */
static int read_port(struct check *check, struct list *list, struct setting *group,
		     const struct config_endpoint *opened)
{
	struct config_endpoint endpoint = *opened;
	unsigned errors = check->reader.errors;
	int r;

	r = read_group(check, list, group, &endpoint);
	if (r < 0 || endpoint.n_legs == 0 || check->reader.errors > errors)
		return r;
	return ip_is_divided(&endpoint) ? add_divided(check, list, &endpoint)
					: add(check, list, &endpoint);
}

static int read_one(struct check *check, struct list *list, struct setting *setting)
{
	struct config_endpoint endpoint = {
		.location = setting->location, .role = list->role, .key = list->key};
	unsigned errors = check->reader.errors;
	struct port_range range;
	const char *address;
	struct setting *group;
	int r;

	r = open_group(check, list->key, setting, &group, &address);
	if (r < 0 || !group)
		return r;
	r = open_endpoint(check, group, address, &endpoint);
	if (r < 0 || endpoint.n_legs == 0 || !port_begin(check, &endpoint, group, &range))
		return r;
	do {
		r = read_port(check, list, group, &endpoint);
		endpoint.continues = true;
	} while (r == 0 && check->reader.errors == errors && port_next(&range));
	return r;
}

static int read_all(struct check *check, struct list *list, struct setting *setting)
{
	int r = 0;

	if (setting->type != SETTING_LIST)
		return read_one(check, list, setting);
	if (setting->brackets && setting->n > 0) {
		check_error(check, setting->location,
			    "%s is a list in [ ]; write several endpoints in ( )", list->key);
		return 0;
	}
	if (setting->n == 0)
		check_error(check, setting->location,
			    "%s is an empty list; it must contain an endpoint", list->key);
	for (struct setting *element = setting->first; element && r == 0; element = element->next)
		r = read_one(check, list, element);
	return r;
}

static void check_types(struct check *check, const struct list *list)
{
	int type = list->n ? list->endpoints[0].legs[0].row->type : 0;

	for (unsigned i = 1; i < list->n; i++)
		if (list->endpoints[i].legs[0].row->type != type)
			check_error(
				check, list->endpoints[i].location,
				"%s %s is %s, the first in the list is %s; all endpoints of a list "
				"must have the same type: divide "
				"the route",
				list->key, list->endpoints[i].name,
				family_type_name(list->endpoints[i].legs[0].row->type),
				family_type_name(type));
}

static const struct config_endpoint *find_name(const struct list *list, const struct index *index,
					       const char *name, uint64_t hash)
{
	uint32_t number;

	for (size_t at = 0; index_next(index, hash, &at, &number);)
		if (strcmp(list->endpoints[number].name, name) == 0)
			return &list->endpoints[number];
	return NULL;
}

/* A target is ROUTE/NAME to counters and splicectl. 0 or -ENOMEM. */
static int check_names(struct check *check, const struct list *list)
{
	struct index index = {0};
	char text[320];
	int r = 0;

	for (unsigned i = 0; i < list->n && list->role == SPLICED_CONNECT && r == 0; i++) {
		const char *name = list->endpoints[i].name;
		uint64_t hash = index_hash_text(name, 0);
		const struct config_endpoint *other = find_name(list, &index, name, hash);

		if (other)
			check_error(check, list->endpoints[i].location,
				    "%s \"%s\" has the same name as the one at %s; set another "
				    "name",
				    list->key, name,
				    config_location_text(check->config, other->location, text,
							 sizeof(text)));
		else
			r = index_add(&index, hash, i);
	}
	index_done(&index);
	return r;
}

int endpoint_read_list(struct check *check, struct config_route *route, const char *key,
		       struct setting *setting, struct config_endpoint **endpoints,
		       unsigned *n_endpoints, bool *well)
{
	struct list list = {.route = route, .key = key};
	unsigned errors = check->reader.errors;
	int r;

	list.role = strcmp(key, "listen") == 0 ? SPLICED_LISTEN : SPLICED_CONNECT;
	r = read_all(check, &list, setting);
	if (r < 0)
		return r;
	check_types(check, &list);
	r = check_names(check, &list);
	if (r < 0)
		return r;
	*endpoints = list.endpoints;
	*n_endpoints = list.n;
	*well = check->reader.errors == errors;
	return 0;
}
