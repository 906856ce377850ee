/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One plugin file: tried in a child, opened, and its description checked and copied. */
#pragma once

struct family;
struct spliced_plugin;

/* How long a plugin may take to load before it counts as hung. */
enum { PLUGIN_TRY_SECONDS = 5 };

/*
 * Loads the file in a forked child, which holds none of our descriptors above 2, and forgets it. 0
 * where plugin_open() would succeed; or negative errno with a line in *why: what plugin_open()
 * says, -ECHILD it crashed or ended the process, -ETIMEDOUT it hung, or the error that prevented
 * the child.
 */
int plugin_try(const char *path, const char *name, char **why);

/* Loads the file with dlopen(3) and fills the tables of *family: plugin, rows, options,
 * handle. 0; or negative errno with a line in *why: -ELIBACC it does not load or has
 * no `spliced_plugin`, or as plugin_check(). */
int plugin_open(const char *path, const char *name, struct family *family, char **why);

/*
 * Checks a plugin's description, and copies it into *family with sizes and strides undone: what an
 * older plugin lacks is zero, members of a newer one that are unknown here are left out. 0; or
 * negative errno with *why: -EPROTO another ABI, -EINVAL an invalid value, -ENOMEM. On error
 * *family owns nothing.
 */
int plugin_check(const struct spliced_plugin *plugin, const char *name, struct family *family,
		 char **why);

/* Puts a line into *why, in place of the one there, and returns r. */
int plugin_refuse(char **why, int r, const char *format, ...) __attribute__((format(printf, 3, 4)));
