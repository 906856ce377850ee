/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A group of settings against a table of options. */
#pragma once

#include "config/config.h"

struct check;
struct setting;

struct options_table {
	const struct spliced_option *options; /* a name with a dot is in a sub-group */
	size_t n_options;
	const char *const *keys; /* keys that are read elsewhere, NULL-terminated, or NULL */
	const char *prefix;	 /* of keys in errors ("target."), or NULL */
	const char *manual;	 /* where all keys are listed: "see spliced.conf(5)" */
};

/* Reads the settings that stand in the group into values, one an option; others are untouched. 0 or
 * -ENOMEM. */
int options_read(struct check *check, const struct options_table *table, struct setting *group,
		 struct config_value *values);

/* Gives each unset option its default. 0 or -ENOMEM. */
int options_set_defaults(struct check *check, const struct options_table *table,
			 struct config_value *values);

/* Whether the group has an unknown key that was most likely meant to be this one: the error is then
 * reported there. */
bool options_means(const struct options_table *table, const struct setting *group, const char *key);

/* Reports each key that was not read, with the nearest known one. */
void options_report_unknown(struct check *check, const struct options_table *table,
			    const struct setting *group);
/* The same within the sub-groups that the table has, and not for the group's own keys. */
void options_report_in_groups(struct check *check, const struct options_table *table,
			      const struct setting *group);
/* The same for one key, shown with a prefix ("target."). */
void options_report_key(struct check *check, const struct setting *setting, const char *prefix,
			const char *nearest, const char *manual);
