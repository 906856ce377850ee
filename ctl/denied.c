/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * connect(2) to a UNIX socket takes the right to write to its file, and to search the directories
 * on the way. Both are there to be looked at.
 */
#include "denied.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_SHOWN = 64 };

static const char *user_name(uid_t uid, char *text)
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		snprintf(text, NAME_MAX_SHOWN, "%s", user->pw_name);
	else
		snprintf(text, NAME_MAX_SHOWN, "%u", (unsigned)uid);
	return text;
}

static const char *group_name(gid_t gid, char *text)
{
	const struct group *group = getgrgid(gid);

	if (group)
		snprintf(text, NAME_MAX_SHOWN, "%s", group->gr_name);
	else
		snprintf(text, NAME_MAX_SHOWN, "%u", (unsigned)gid);
	return text;
}

/* The first directory on the way that may not be searched, into directory; "" if there is none. */
static void find_closed(const char *path, char *directory, size_t size)
{
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		if ((size_t)(slash - path) >= size)
			break;
		snprintf(directory, size, "%.*s", (int)(slash - path), path);
		if (access(directory, X_OK) < 0)
			return;
	}
	*directory = '\0';
}

const char *denied_explain(const char *path, char *text, size_t size)
{
	char me[NAME_MAX_SHOWN], owner[NAME_MAX_SHOWN], group[NAME_MAX_SHOWN], directory[256];
	struct stat stat;

	user_name(geteuid(), me);
	find_closed(path, directory, sizeof(directory));
	if (*directory)
		snprintf(
			text, size,
			"Permission denied; user %s may not search directory %s: run as root, or allow others to search it",
			me, directory);
	else if (lstat(path, &stat) < 0)
		snprintf(text, size, "Permission denied");
	else if (stat.st_mode & S_IWGRP)
		snprintf(
			text, size,
			"Permission denied; users root, %s and group %s have access (daemon.control in spliced.conf), but user %s does not: "
			"use sudo, or run usermod -aG %s %s as root, and log in again",
			user_name(stat.st_uid, owner), group_name(stat.st_gid, group), me, group,
			me);
	else
		snprintf(
			text, size,
			"Permission denied; users root and %s have access, but user %s does not: use sudo, or give access to a group by control.group and "
			"control.mode = \"0660\" in spliced.conf",
			user_name(stat.st_uid, owner), me);
	return text;
}
