/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Units. Whether systemd has one of this name, and lets us start it, cannot be known when the file
 * is checked: only what its name can be is.
 */
#include "config/unit.h"

#include "config/check.h"

#include <string.h>

enum { UNIT_NAME_MAX = 255 }; /* systemd.unit(5) */

static const char suffix[] = ".service";
static const char characters[] = "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789:-_.\\@";

static bool has_suffix(const char *name, size_t len)
{
	return len >= sizeof suffix && !strcmp(name + len - (sizeof suffix - 1), suffix);
}

/* What is wrong with the name, and what would be right; NULL: nothing. */
static const char *find_fault(const char *name)
{
	size_t len = strlen(name);
	const char *at = strchr(name, '@');

	if (len > UNIT_NAME_MAX)
		return "is too long; the name of a unit has at most 255 characters";
	if (strspn(name, characters) != len)
		return "is not a valid unit name; it must consist of letters, digits and \":-_.\\@\", and end in \".service\"";
	if (!has_suffix(name, len))
		return "is not a service; set the whole name, such as \"app.service\"";
	if (at == name)
		return "has no name before \"@\"; set one, such as \"app@1.service\"";
	if (at && at + sizeof suffix == name + len)
		return "is a template; set an instance, such as \"app@1.service\"";
	return NULL;
}

bool unit_name_is_valid(const char *name)
{
	return !find_fault(name);
}

static void read_name(struct check *check, struct config_endpoint *endpoint,
		      const struct config_value *value)
{
	const char *fault = find_fault(value->value.text);

	if (fault)
		check_error(check, value->location, "%s.unit \"%s\" %s", endpoint->key,
			    value->value.text, fault);
	else
		endpoint->unit = value->value.text;
}

/* At other endpoints it is refused elsewhere: member.h. */
void unit_read(struct check *check, struct config_endpoint *endpoint)
{
	const struct config_value *unit = &endpoint->values[ENDPOINT_UNIT];
	const struct config_value *idle = &endpoint->values[ENDPOINT_IDLE_STOP];
	bool named = unit->value.state != SPLICED_UNSET;

	if (strcmp(endpoint->key, "target") != 0)
		return;
	if (named && unit->value.text)
		read_name(check, endpoint, unit);
	if (idle->value.state == SPLICED_UNSET)
		return;
	endpoint->idle_stop = (uint64_t)idle->value.number;
	if (!named)
		check_error(
			check, idle->location,
			"%s.idle_stop is set, but there is no unit to stop; set %s.unit too, or remove it",
			endpoint->key, endpoint->key);
}
