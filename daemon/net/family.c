/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry of families. It owns what it loaded until families_done(); the code itself stays
 * mapped, for callbacks of a family may still be on some thread's stack. Families are kept in the
 * order of their names.
 *
 * Write access to a plugin allows running code as the daemon, so the directory and the file are
 * checked before anything is loaded, each through a descriptor of its own: both must belong to root
 * or to the user that started the daemon, and neither may be writable by others. In such a
 * directory no other user can change the file between check and load.
 */
#include "net/family.h"

#include "base/cleanup.h"
#include "base/report.h"
#include "base/text.h"
#include "net/plugin.h"
#include "net/plugin_count.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int families_init(struct families *families, const char *dir, uid_t owner)
{
	*families = (struct families){.dir = strdup(dir), .owner = owner};
	return families->dir ? 0 : -ENOMEM;
}

static struct family *family_free(struct family *family)
{
	if (!family)
		return NULL;
	free(family->path);
	free(family->rows);
	free(family->options);
	free(family->formats);
	free(family->counters);
	free(family);
	return NULL;
}

void families_done(struct families *families)
{
	struct family *next;

	for (struct family *family = families->first; family; family = next) {
		next = family->next;
		family_free(family);
	}
	free(families->dir);
	*families = (struct families){0};
}

const struct family *family_find(const struct families *families, const char *name)
{
	for (const struct family *family = families->first; family; family = family->next)
		if (!strcmp(family->name, name))
			return family;
	return NULL;
}

const struct family *family_numbered(const struct families *families, uint32_t number)
{
	for (const struct family *family = families->first; family; family = family->next)
		if (family->number == number)
			return family;
	return NULL;
}

/* [a-z][a-z0-9_]*, as long as it fits. */
static bool name_is_sane(const char *name, size_t len)
{
	if (!len || len >= sizeof((struct family *)0)->name || name[0] < 'a' || name[0] > 'z')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") >= len;
}

static int is_plugin(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 3 && !strcmp(entry->d_name + len - 3, ".so") &&
	       name_is_sane(entry->d_name, len - 3);
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* The names of the families in the directory, in order, each with a place of its own to be freed.
 * Their number, or negative errno. */
static int list_names(const char *dir, struct dirent ***ret)
{
	int n = scandir(dir, ret, is_plugin, compare_entries);

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++)
		(*ret)[i]->d_name[strlen((*ret)[i]->d_name) - 3] = '\0';
	return n;
}

static void free_names(struct dirent **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static bool is_near(const char *asked, const char *name)
{
	return text_distance(asked, name) <= 1 + strlen(asked) / 4 ||
	       (asked[0] && strcasestr(name, asked)) || strcasestr(asked, name);
}

static int refuse_unknown(const struct families *families, const char *name, char **why)
{
	struct dirent **names;
	_free_ char *text = NULL;
	unsigned near = 0, listed = 0, count;
	size_t size;
	FILE *stream;
	int n;

	n = list_names(families->dir, &names);
	if (n < 0)
		return plugin_refuse(
			why, -ENOENT,
			"%s: cannot look for family \"%s\": %s; set plugin_dir to the directory of the family plugins",
			families->dir, name, strerror(-n));
	for (int i = 0; i < n; i++)
		near += is_near(name, names[i]->d_name);
	stream = open_memstream(&text, &size);
	count = near ? near : (unsigned)n;
	for (int i = 0; stream && i < n; i++) {
		if (near && !is_near(name, names[i]->d_name))
			continue;
		listed++;
		fprintf(stream, "%s\"%s\"",
			listed == 1	 ? ""
			: listed < count ? ", "
			: near		 ? " or "
					 : " and ",
			names[i]->d_name);
	}
	if (stream)
		fclose(stream);
	free_names(names, n);
	if (!n)
		return plugin_refuse(
			why, -ENOENT,
			"no family \"%s\": %s contains no plugins; set plugin_dir to their directory",
			name, families->dir);
	return plugin_refuse(why, -ENOENT, "no family \"%s\" in %s; %s %s%s", name, families->dir,
			     near ? "did you mean" : "the families are", text ? text : "",
			     near ? "?" : "");
}

/* Whether only root and the owner can have written it. */
static int check_rights(const struct families *families, const char *path, int fd, bool is_dir,
			char **why)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return plugin_refuse(why, -EPERM, "%s: %s", path, strerror(errno));
	if (is_dir ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
		return plugin_refuse(why, -EPERM, "%s: is not a %s; put the plugin itself there",
				     path, is_dir ? "directory" : "regular file");
	if (st.st_uid != 0 && st.st_uid != families->owner)
		return plugin_refuse(
			why, -EPERM,
			"%s: belongs to uid %u, who could run any code as spliced: chown root %s",
			path, st.st_uid, path);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return plugin_refuse(
			why, -EPERM,
			"%s: is writable by %s, who could run any code as spliced: chmod go-w %s",
			path, st.st_mode & S_IWOTH ? "everybody" : "its group", path);
	return 0;
}

static int check_file(const struct families *families, const char *path, const char *name,
		      char **why)
{
	char file[sizeof((struct family *)0)->name + 4];
	_close_ int dir = -1, fd = -1;
	int r;

	dir = open(families->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return refuse_unknown(families, name, why);
	r = check_rights(families, families->dir, dir, true, why);
	if (r < 0)
		return r;
	snprintf(file, sizeof file, "%s.so", name);
	fd = openat(dir, file, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return refuse_unknown(families, name, why);
	if (fd < 0)
		return plugin_refuse(why, -EPERM, "%s: %s", path, strerror(errno));
	return check_rights(families, path, fd, false, why);
}

static void add_family(struct families *families, struct family *family)
{
	struct family **place = &families->first;

	while (*place && strcmp((*place)->name, family->name) < 0)
		place = &(*place)->next;
	family->next = *place;
	*place = family;
	family->number = ++families->count;
}

int family_load(struct families *families, const char *name, const struct family **ret, char **why)
{
	struct family *family;
	int r;

	*why = NULL;
	*ret = family_find(families, name);
	if (*ret)
		return 0;
	if (!name_is_sane(name, strlen(name)))
		return refuse_unknown(families, name, why);
	family = calloc(1, sizeof *family);
	if (!family || asprintf(&family->path, "%s/%s.so", families->dir, name) < 0) {
		free(family);
		return plugin_refuse(why, -ENOMEM, "no memory for family \"%s\"", name);
	}
	snprintf(family->name, sizeof family->name, "%s", name);
	r = check_file(families, family->path, name, why);
	if (!r)
		r = plugin_try(family->path, name, why);
	if (!r)
		r = plugin_open(family->path, name, family, why);
	if (r < 0) {
		family_free(family);
		return r;
	}
	plugin_count_open(family);
	add_family(families, family);
	*ret = family;
	return 0;
}

int families_load_all(struct families *families, struct report *report)
{
	const struct family *family;
	struct dirent **names;
	char *why;
	int n;

	n = list_names(families->dir, &names);
	if (n < 0) {
		report_add(
			report,
			"%s: cannot list families: %s; set plugin_dir to the directory of the family plugins",
			families->dir, strerror(-n));
		return n;
	}
	for (int i = 0; i < n; i++) {
		if (family_load(families, names[i]->d_name, &family, &why) < 0)
			report_add(report, "%s", why ? why : names[i]->d_name);
		free(why);
	}
	free_names(names, n);
	return 0;
}
