/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is left over of an endpoint when all its options have been read. An option of its family
 * that is left does not apply because of the role, the row, or the other leg of `ip`. Anything else
 * was mistyped, or does not exist.
 */
#include "config/unknown.h"

#include "base/text.h"
#include "config/check.h"
#include "config/options.h"
#include "config/schema.h"
#include "language/setting.h"

#include <stdio.h>
#include <string.h>

static const char *find_nearest(const struct config_endpoint *endpoint, const char *name)
{
	struct text_nearest nearest;

	text_nearest_init(&nearest, name);
	for (const char *const *key = schema_endpoint_keys; *key; key++)
		text_nearest_offer(&nearest, *key);
	for (unsigned i = 0; i < ENDPOINT_OPTIONS; i++)
		text_nearest_offer(&nearest, schema_endpoint[i].name);
	for (unsigned i = 0; i < endpoint->n_legs; i++)
		for (uint32_t j = 0; j < endpoint->legs[i].family->plugin.n_options; j++)
			text_nearest_offer(&nearest, endpoint->legs[i].family->options[j].name);
	return nearest.best;
}

bool unknown_means(const struct config_endpoint *endpoint, const struct setting *group,
		   const char *option)
{
	for (const struct setting *setting = group->first; setting; setting = setting->next) {
		const char *nearest = find_nearest(endpoint, setting->name);

		if (nearest && strcmp(nearest, option) == 0 && strcmp(setting->name, option) != 0)
			return true;
	}
	return false;
}

/* Why an option of the family is out of place: its role, or the rows that it belongs to. */
static void report_misplaced(struct check *check, const struct config_endpoint *endpoint,
			     const struct family *family, const struct spliced_option *option,
			     const struct setting *setting)
{
	char text[256] = "";
	size_t len = 0;

	if (option->roles && !(option->roles & endpoint->role)) {
		check_error(check, setting->location,
			    "\"%s\" is only for %s, this is a %s; remove it", option->name,
			    endpoint->role == SPLICED_LISTEN ? "targets" : "listening endpoints",
			    schema_endpoint_noun(endpoint->key));
		return;
	}
	for (uint32_t i = 0; i < family->plugin.n_rows && len < sizeof(text); i++)
		if (option->rows & UINT64_C(1) << i)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s%s%s",
						len ? ", " : "",
						family_type_name(family->rows[i].type),
						family->rows[i].name ? " " : "",
						family->rows[i].name ? family->rows[i].name : "");
	check_error(check, setting->location,
		    "\"%s\" is only for %s of family \"%s\", this is %s%s%s; remove it",
		    option->name, text, family->name, family_type_name(endpoint->legs[0].row->type),
		    endpoint->legs[0].row->name ? " " : "",
		    endpoint->legs[0].row->name ? endpoint->legs[0].row->name : "");
}

void unknown_report(struct check *check, const struct config_endpoint *endpoint,
		    const struct setting *setting)
{
	char prefix[16], manual[128];

	for (unsigned i = 0; i < 2 && endpoint->legs[i].family; i++) {
		const struct family *family = endpoint->legs[i].family;
		const struct spliced_option *option = family_option(family, setting->name);

		if (option && i >= endpoint->n_legs)
			check_error(
				check, setting->location,
				"\"%s\" is only for family \"%s\", this address is of family \"%s\"; remove "
				"it",
				setting->name, family->name, endpoint->legs[0].family->name);
		else if (option)
			report_misplaced(check, endpoint, family, option, setting);
		if (option)
			return;
	}
	snprintf(prefix, sizeof(prefix), "%s.", endpoint->key);
	snprintf(
		manual, sizeof(manual),
		"family \"%s\" has no such option: see spliced --describe %s and spliced --describe endpoint",
		endpoint->family, endpoint->family);
	options_report_key(check, setting, prefix, find_nearest(endpoint, setting->name), manual);
}
