/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A correct key in the wrong group is not a typing error: the nearest known word would be another
 * one, and wrong. Where it belongs is looked up in the tables that all settings are read with.
 */
#include "config/stray.h"

#include "config/check.h"
#include "config/schema.h"
#include "language/setting.h"
#include "net/family.h"

#include <string.h>

static bool is_key(const char *const *keys, const char *name)
{
	for (; *keys; keys++)
		if (strcmp(*keys, name) == 0)
			return true;
	return false;
}

/* "timeout" of "timeout.connect", too. */
static bool is_option(const struct spliced_option *options, size_t n, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (strncmp(options[i].name, name, len) == 0 &&
		    (options[i].name[len] == '\0' || options[i].name[len] == '.'))
			return true;
	return false;
}

static bool is_of_endpoint(const struct check *check, const char *name)
{
	if (is_key(schema_endpoint_keys, name) ||
	    is_option(schema_endpoint, ENDPOINT_OPTIONS, name))
		return true;
	for (const struct family *family = check->families ? check->families->first : NULL; family;
	     family = family->next)
		if (is_option(family->options, family->plugin.n_options, name))
			return true;
	return false;
}

static bool is_of_route(const char *name)
{
	return is_key(schema_route_keys, name) || is_option(schema_route, ROUTE_OPTIONS, name);
}

bool stray_is_route(const struct setting *setting)
{
	return setting_find(setting, "listen") || setting_find(setting, "target") ||
	       setting_find(setting, "dial");
}

/* Reports one key, or does not know a place for it. */
static bool report(struct check *check, const struct setting *setting, enum stray_in in)
{
	const char *name = setting->name;

	if (in == STRAY_IN_FILE && stray_is_route(setting))
		check_error(check, setting->location,
			    "\"%s\" is a route; write it inside routes: { %s: { ... }; };", name,
			    name);
	else if (in != STRAY_IN_ROUTE && in != STRAY_IN_DEFAULTS && is_of_route(name))
		check_error(check, setting->location,
			    "\"%s\" belongs in a route: routes: { NAME: { %s = ...; }; };", name,
			    name);
	else if (in != STRAY_IN_DAEMON && is_option(schema_daemon, DAEMON_OPTIONS, name))
		check_error(check, setting->location, "\"%s\" belongs in daemon: { ... };", name);
	else if (in != STRAY_IN_FILE && is_key(schema_root_keys, name))
		check_error(check, setting->location,
			    "\"%s\" is a top-level group; write it outside all other groups", name);
	else if (is_of_endpoint(check, name))
		check_error(
			check, setting->location,
			"\"%s\" belongs in an endpoint: target = { ...; %s = ...; }; or after the '?' of its string",
			name, name);
	else
		return false;
	return true;
}

void stray_report(struct check *check, struct setting *group, enum stray_in in)
{
	for (struct setting *setting = group->first; setting; setting = setting->next)
		if (!setting->seen && report(check, setting, in))
			setting->seen = true;
}
