/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a configuration: the file, X.conf.d beside it, and the check. What is read on the way
 * goes into a scratch arena, what the config keeps into its own.
 */
#include "config/config.h"

#include "base/arena.h"
#include "base/report.h"
#include "base/text.h"
#include "config/build.h"
#include "config/root.h"
#include "config/stray.h"
#include "language/input.h"
#include "language/parse.h"
#include "language/setting.h"
#include "language/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directory of a file, with its slash; "" for the current one. */
static char *directory_of(struct arena *arena, const char *path)
{
	const char *slash = strrchr(path, '/');

	return arena_copy(arena, path, slash ? (size_t)(slash - path) + 1 : 0);
}

static bool is_conf(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

static int is_route_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && is_conf(entry->d_name);
}

/* By bytes, whatever the locale. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Moves the routes of a further file into those of the first; a name that is there already is an
 * error. */
static void merge_routes(struct check *check, struct setting *routes, struct setting *more)
{
	struct setting *next;
	char text[320];

	for (struct setting *route = more->first; route; route = next) {
		const struct setting *other = setting_find(routes, route->name);

		next = route->next;
		route->next = NULL;
		if (other) {
			check_error(check, route->location,
				    "route %s: the name is already used at %s; choose another one",
				    route->name,
				    config_location_text(check->config, other->location, text,
							 sizeof(text)));
			continue;
		}
		setting_append(routes, route);
	}
}

/* The group `routes` of the main file, made if it is not there. NULL without memory. */
static struct setting *open_routes(struct check *check, struct setting *root)
{
	struct setting *routes = setting_find(root, "routes");

	return routes ? routes
		      : setting_add(check->scratch, root, SETTING_GROUP, "routes", root->location);
}

static void report_outermost(struct check *check, const struct setting *setting)
{
	struct text_nearest nearest;

	text_nearest_init(&nearest, setting->name);
	text_nearest_offer(&nearest, "routes");
	if (nearest.best)
		check_error(check, setting->location,
			    "unknown key \"%s\"; did you mean \"routes\"?", setting->name);
	else
		check_error(check, setting->location,
			    "\"%s\" belongs in the main file; this file may contain only routes",
			    setting->name);
}

static int add_route_tree(struct check *check, struct setting *root, struct setting *more)
{
	struct setting *routes = open_routes(check, root);

	if (!routes)
		return -ENOMEM;
	for (struct setting *setting = more->first; setting; setting = setting->next) {
		if (stray_is_route(setting))
			check_error(
				check, setting->location,
				"\"%s\" is a route; write it inside routes: { %s: { ... }; }; in this file, too",
				setting->name, setting->name);
		else if (strcmp(setting->name, "routes") != 0)
			report_outermost(check, setting);
		else if (setting->type != SETTING_GROUP)
			check_error(
				check, setting->location,
				"routes is %s; it must be a group, such as routes: { NAME: { ... }; };",
				setting_type_name(setting));
		else if (routes->type == SETTING_GROUP)
			merge_routes(check, routes, setting);
	}
	return 0;
}

bool config_can_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	char byte;
	bool is_file = fd >= 0 && !fstat(fd, &status) && S_ISREG(status.st_mode) &&
		       read(fd, &byte, 1) >= 0;

	if (fd >= 0)
		close(fd);
	return is_file;
}

/* One that cannot be read yet keeps no other's routes from running. It is among the files, and so
 * it is looked at again. *r: -ENOMEM, or 0. */
static bool leaves_out(struct check *check, const char *path, int *r)
{
	uint32_t index;

	*r = 0;
	if (config_can_read(path))
		return false;
	report_add(check->reader.report,
		   "%s: cannot be read, its routes are omitted; allow the daemon's user to read it",
		   path);
	*r = reader_add_file(&check->reader, path, &index);
	return true;
}

/* Reads one file of X.conf.d; root is NULL where the main file has a syntax error, and then only
 * the syntax is checked. */
static int read_route_file(struct check *check, const char *path, const char *dir,
			   struct setting *root)
{
	struct source source;
	struct setting *more;
	int r;

	if (check->names_may_wait && leaves_out(check, path, &r))
		return r;
	r = source_read(&source, &check->reader, path, dir);
	if (r < 0)
		return r == -ENOMEM ? r : 0; /* reported */
	r = parse_source(&check->reader, &source, &more);
	if (r < 0 || !more || !root)
		return r;
	return add_route_tree(check, root, more);
}

/* A file that is checked as one of X.conf.d, before it is put there. */
struct candidate {
	const char *name; /* in the directory; NULL: there is none */
	const char *path; /* where it stands now */
};

/* Reads the file of X.conf.d with this name, or the candidate for it. */
static int read_entry(struct check *check, const char *confd, const char *name,
		      const struct candidate *candidate, const char *dir, struct setting *root)
{
	bool is_candidate = candidate->name && strcmp(candidate->name, name) == 0;
	const char *file =
		is_candidate ? candidate->path : arena_print(check->scratch, "%s/%s", confd, name);

	return file ? read_route_file(check, file, dir, root) : -ENOMEM;
}

/* All of them in the order of their names, the candidate in its place. */
static int read_entries(struct check *check, const char *confd, struct dirent **entries, int n,
			const struct candidate *candidate, const char *dir, struct setting *root)
{
	bool is_read = !candidate->name;
	int r = 0;

	for (int i = 0; i < n && r == 0; i++) {
		int order = is_read ? 1 : strcmp(candidate->name, entries[i]->d_name);

		if (order < 0)
			r = read_entry(check, confd, candidate->name, candidate, dir, root);
		is_read = is_read || order <= 0;
		if (r == 0)
			r = read_entry(check, confd, entries[i]->d_name, candidate, dir, root);
	}
	return r == 0 && !is_read ? read_entry(check, confd, candidate->name, candidate, dir, root)
				  : r;
}

static int read_route_files(struct check *check, const char *path, const char *dir,
			    const struct candidate *candidate, struct setting *root)
{
	size_t len = strlen(path);
	struct dirent **entries = NULL;
	char *confd;
	int n, r;

	if (len < 5 || strcmp(path + len - 5, ".conf") != 0)
		return 0;
	confd = arena_print(check->scratch, "%s.d", path);
	if (!confd)
		return -ENOMEM;
	n = scandir(confd, &entries, is_route_file, compare_names);
	if (n < 0 && errno != ENOENT && errno != ENOMEM) {
		report_add(check->reader.report,
			   "%s: cannot be read: %s; allow the daemon's user to read it", confd,
			   strerror(errno));
		check->reader.errors++;
	}
	if (n < 0 && errno == ENOMEM)
		return -ENOMEM;
	r = read_entries(check, confd, entries, n, candidate, dir, root);
	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
	return r;
}

/* The main file of one in X.conf.d, which then is the candidate: X.conf beside the directory. NULL:
 * it is none of those. */
static const char *find_main(struct check *check, const struct config_source *from,
			     struct candidate *candidate)
{
	const char *as = from->as ? from->as : from->path, *slash = strrchr(as, '/'), *parent;
	size_t len = slash ? (size_t)(slash - as) : 0;
	char *absolute = NULL, *path = NULL;

	if (slash) {
		path = arena_copy(check->scratch, as, len);
	} else if (!from->as && !input_is_read_once(as) && (absolute = realpath(".", NULL))) {
		path = arena_copy_text(check->scratch, absolute);
		free(absolute);
	}
	len = path ? strlen(path) : 0;
	slash = slash ? slash + 1 : as;
	if (len < 8 || strcmp(path + len - 7, ".conf.d") != 0 || path[len - 8] == '/' ||
	    *slash == '.' || !is_conf(slash))
		return NULL;
	path[len - 2] = '\0';
	parent = path;
	if (access(parent, F_OK) < 0)
		return NULL;
	*candidate = (struct candidate){.name = slash, .path = from->path};
	return parent;
}

static int read_files(struct check *check, const struct config_source *from)
{
	struct candidate candidate = {0};
	const char *main = find_main(check, from, &candidate);
	const char *as = main ? main : from->as ? from->as : from->path;
	char *dir = directory_of(check->scratch, as);
	struct setting *root = NULL;
	struct source source;
	int r;

	if (!dir)
		return -ENOMEM;
	r = source_read(&source, &check->reader, main ? main : from->path, dir);
	if (r < 0)
		return r;
	r = parse_source(&check->reader, &source, &root);
	if (r == 0 && !from->daemon_only)
		r = read_route_files(check, as, dir, &candidate, root);
	if (r < 0 || !root)
		return r;
	return root_read(check, root, from->daemon_only);
}

int config_load(const struct config_source *source, struct config **ret, struct report *report)
{
	struct check check;
	int r;

	r = build_start(&check, source->families, report);
	check.resolve_listeners = source->resolve_listeners;
	check.names_may_wait = source->names_may_wait;
	if (r == 0)
		r = read_files(&check, source);
	return build_finish(&check, r, ret);
}

struct config *config_free(struct config *config)
{
	if (config)
		arena_free(config->arena);
	return NULL;
}
