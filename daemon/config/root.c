/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checking: the tree of a file, or of a generation, becomes a config. All errors are reported, so a
 * group with errors is still read to its end; only the whole is then refused.
 */
#include "config/root.h"

#include "base/arena.h"
#include "config/check.h"
#include "config/conflict.h"
#include "config/limit.h"
#include "config/options.h"
#include "config/route.h"
#include "config/route_loop.h"
#include "config/rule.h"
#include "config/schema.h"
#include "config/stray.h"
#include "config/warning.h"
#include "language/setting.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static const struct options_table daemon_table = {
	.options = schema_daemon,
	.n_options = DAEMON_OPTIONS,
	.manual = "see spliced.conf(5)",
};

static const struct options_table root_table = {
	.keys = schema_root_keys,
	.manual = "see spliced.conf(5)",
};

/* The users and groups that are named must be there: a typing error would be noticed only at the
 * next start. */
static void check_names(struct check *check)
{
	static const enum config_daemon_option groups[] = {DAEMON_GROUP, DAEMON_CONTROL_GROUP};
	const struct config_value *values = check->config->daemon, *user = &values[DAEMON_USER];
	const struct config_value *path = &values[DAEMON_CONTROL_PATH],
				  *dir = &values[DAEMON_PLUGIN_DIR];

	if (path->value.text && *path->value.text != '/')
		check_error(
			check, path->location,
			"control.path is \"%s\"; it must be an absolute path, not an abstract name",
			path->value.text);
	else if (path->value.text &&
		 strlen(path->value.text) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		check_error(check, path->location,
			    "control.path has %zu bytes; the path of a socket has at most %zu",
			    strlen(path->value.text),
			    sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	if (dir->value.text && *dir->value.text != '/')
		check_error(check, dir->location,
			    "plugin_dir is \"%s\"; it must be an absolute path", dir->value.text);
	if (user->value.state == SPLICED_SET && !getpwnam(user->value.text))
		check_error(check, user->location, "user is \"%s\"; there is no such user",
			    user->value.text);
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		const struct config_value *group = &values[groups[i]];

		if (group->value.state == SPLICED_SET && !getgrnam(group->value.text))
			check_error(check, group->location, "%s is \"%s\"; there is no such group",
				    schema_daemon[groups[i]].name, group->value.text);
	}
}

static int check_daemon(struct check *check, struct setting *root)
{
	struct setting *group = setting_take(root, "daemon");
	int r = 0;

	check->reader.where = "daemon";
	if (group && group->type != SETTING_GROUP) {
		check->reader.where = NULL;
		check_error(check, group->location,
			    "daemon is %s; it must be a group: daemon: { ... };",
			    setting_type_name(group));
	} else if (group) {
		r = options_read(check, &daemon_table, group, check->config->daemon);
		if (r == 0) {
			stray_report(check, group, STRAY_IN_DAEMON);
			options_report_unknown(check, &daemon_table, group);
		}
	}
	if (r == 0)
		r = options_set_defaults(check, &daemon_table, check->config->daemon);
	if (r == 0 && !check->generation)
		check_names(check);
	check->reader.where = NULL;
	return r;
}

static int check_route(struct check *check, struct setting *setting,
		       const struct route_defaults *defaults, struct config_route *route)
{
	int r;

	check->reader.where = arena_print(check->scratch, "route %s", setting->name);
	if (!check->reader.where)
		return -ENOMEM;
	r = route_read(check, setting, defaults, route);
	check->reader.where = NULL;
	return r;
}

static int check_routes(struct check *check, struct setting *group,
			const struct route_defaults *defaults)
{
	struct config *config = check->config;
	int r = 0;

	if (group->type != SETTING_GROUP) {
		check_error(check, group->location,
			    "routes is %s; it must be a group, such as routes: { NAME: { ... }; };",
			    setting_type_name(group));
		return 0;
	}
	config->routes = arena_take(check->arena, group->n, sizeof(*config->routes));
	if (!config->routes)
		return -ENOMEM;
	for (struct setting *setting = group->first; setting && r == 0; setting = setting->next)
		r = check_route(check, setting, defaults, &config->routes[config->n_routes++]);
	if (r == 0)
		r = conflict_check(check);
	if (r == 0 && !check->generation)
		r = limit_check(check);
	/* What was right once, by another release's judgement, is lived in until its last session
	 * ends. */
	if (r == 0 && !check->generation)
		r = route_loop_check(check);
	if (r == 0 && !check->generation && !check->reader.errors)
		warning_check(check);
	return r;
}

int root_read(struct check *check, struct setting *root, bool daemon_only)
{
	struct setting *defaults_group, *lists, *routes;
	struct route_defaults defaults = {0};
	int r;

	r = check_daemon(check, root);
	if (r < 0 || daemon_only)
		return r;
	lists = setting_take(root, "lists");
	if (lists) {
		rule_check_lists(check, lists);
		check->lists = lists;
	}
	defaults_group = setting_take(root, "defaults");
	check->reader.where = "defaults";
	if (defaults_group)
		r = route_read_defaults(check, defaults_group, &defaults);
	check->reader.where = NULL;
	routes = setting_take(root, "routes");
	if (routes && r == 0)
		r = check_routes(check, routes, &defaults);
	if (r < 0)
		return r;
	stray_report(check, root, STRAY_IN_FILE);
	options_report_unknown(check, &root_table, root);
	return 0;
}
