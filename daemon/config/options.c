/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Options with a dot in their name stand in sub-groups, so that one flat table, indexed by one
 * enum, describes a tree: "timeout.connect" is `timeout: { connect = ...; }`.
 */
#include "config/options.h"

#include "base/text.h"
#include "config/check.h"
#include "config/value.h"
#include "language/setting.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The setting of a name with dots, marked as seen, with the groups that contain it. */
static struct setting *take_dotted(struct setting *group, const char *name)
{
	const char *dot;

	while (group && (dot = strchr(name, '.'))) {
		group = setting_find_part(group, name, (size_t)(dot - name));
		if (group)
			group->seen = true;
		name = dot + 1;
	}
	return group ? setting_take(group, name) : NULL;
}

int options_read(struct check *check, const struct options_table *table, struct setting *group,
		 struct config_value *values)
{
	char key[96];
	int r;

	for (size_t i = 0; i < table->n_options; i++) {
		const struct spliced_option *option = &table->options[i];
		const struct setting *setting = take_dotted(group, option->name);

		if (!setting)
			continue;
		snprintf(key, sizeof(key), "%s%s", table->prefix ? table->prefix : "",
			 option->name);
		r = value_read(check, option, key, setting, &values[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int options_set_defaults(struct check *check, const struct options_table *table,
			 struct config_value *values)
{
	int r;

	for (size_t i = 0; i < table->n_options; i++) {
		if (values[i].value.state != SPLICED_UNSET)
			continue;
		r = value_set_default(check->arena, &table->options[i], &values[i].value);
		if (r == -ENOMEM)
			return r;
	}
	return 0;
}

void options_report_key(struct check *check, const struct setting *setting, const char *prefix,
			const char *nearest, const char *manual)
{
	if (nearest)
		check_error(check, setting->location,
			    "unknown key \"%s%s\"; did you mean \"%s%s\"?", prefix, setting->name,
			    prefix, nearest);
	else
		check_error(check, setting->location, "unknown key \"%s%s\"; %s", prefix,
			    setting->name, manual);
}

/* Gives the next part of an option's name behind the prefix, or returns false if it belongs
 * elsewhere. */
static bool next_part(const char *name, const char *prefix, char *part, size_t size, bool *is_group)
{
	size_t len = strlen(prefix);

	if (strncmp(name, prefix, len) != 0)
		return false;
	name += len;
	len = strcspn(name, ".");
	snprintf(part, size, "%.*s", (int)len, name);
	*is_group = name[len] == '.';
	return true;
}

static const char *find_nearest(const struct options_table *table, const char *prefix,
				const char *name, char *best, size_t size)
{
	struct text_nearest nearest;
	bool is_group;
	char part[64];

	text_nearest_init(&nearest, name);
	for (size_t i = 0; !*prefix && table->keys && table->keys[i]; i++)
		text_nearest_offer(&nearest, table->keys[i]);
	if (nearest.best)
		snprintf(best, size, "%s", nearest.best);
	for (size_t i = 0; i < table->n_options; i++) {
		unsigned distance = nearest.distance;

		if (!next_part(table->options[i].name, prefix, part, sizeof(part), &is_group))
			continue;
		text_nearest_offer(&nearest, part);
		if (nearest.distance < distance)
			snprintf(best, size, "%s", part);
	}
	return nearest.best ? best : NULL;
}

bool options_means(const struct options_table *table, const struct setting *group, const char *key)
{
	char best[64];

	for (const struct setting *setting = group->first; setting; setting = setting->next) {
		const char *nearest = find_nearest(table, "", setting->name, best, sizeof(best));

		if (nearest && strcmp(nearest, key) == 0 && strcmp(setting->name, key) != 0)
			return true;
	}
	return false;
}

static bool is_group_name(const struct options_table *table, const char *prefix, const char *name)
{
	char part[64];
	bool is_group;

	for (size_t i = 0; i < table->n_options; i++)
		if (next_part(table->options[i].name, prefix, part, sizeof(part), &is_group) &&
		    is_group && strcmp(part, name) == 0)
			return true;
	return false;
}

static void report_level(struct check *check, const struct options_table *table,
			 const struct setting *group, const char *prefix, bool own);

/* Reads a sub-group, or a value in its place. */
static void report_group(struct check *check, const struct options_table *table,
			 const struct setting *setting, const char *prefix)
{
	char deeper[128];

	if (setting->type != SETTING_GROUP && !setting->damaged)
		check_error(check, setting->location,
			    "%s%s%s is %s; it must be a group, such as %s: { ... };",
			    table->prefix ? table->prefix : "", prefix, setting->name,
			    setting_type_name(setting), setting->name);
	snprintf(deeper, sizeof(deeper), "%s%s.", prefix, setting->name);
	if (setting->type == SETTING_GROUP)
		report_level(check, table, setting, deeper, true);
}

/* own: the group's own keys, too. */
static void report_level(struct check *check, const struct options_table *table,
			 const struct setting *group, const char *prefix, bool own)
{
	char shown[128], best[64];

	snprintf(shown, sizeof(shown), "%s%s", table->prefix ? table->prefix : "", prefix);
	for (const struct setting *setting = group->first; setting; setting = setting->next)
		if (setting->seen && is_group_name(table, prefix, setting->name))
			report_group(check, table, setting, prefix);
		else if (!setting->seen && own)
			options_report_key(
				check, setting, shown,
				find_nearest(table, prefix, setting->name, best, sizeof(best)),
				table->manual);
}

void options_report_in_groups(struct check *check, const struct options_table *table,
			      const struct setting *group)
{
	report_level(check, table, group, "", false);
}

void options_report_unknown(struct check *check, const struct options_table *table,
			    const struct setting *group)
{
	report_level(check, table, group, "", true);
}
