/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/netns.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { LINKS_MAX = 8 };

static void find_path(const char *netns, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s%s", strchr(netns, '/') ? "" : "/run/netns/", netns);
}

/* A link of /proc leads to the namespace itself, and its text does not help: the link's own
 * location is checked. */
bool netns_is_of_process(const char *netns)
{
	char path[PATH_MAX], target[PATH_MAX], next[2 * PATH_MAX];

	find_path(netns, path);
	for (int links = 0; links < LINKS_MAX; links++) {
		char *slash = strrchr(path, '/');
		struct statfs system;
		ssize_t n;

		n = readlink(path, target, sizeof target - 1);
		if (!slash || n <= 0)
			return false;
		target[n] = '\0';
		*slash = '\0';
		if (!statfs(*path ? path : "/", &system) && system.f_type == PROC_SUPER_MAGIC)
			return true;
		snprintf(next, sizeof next, "%s%s%s", *target == '/' ? "" : path,
			 *target == '/' ? "" : "/", target);
		if (strlen(next) >= sizeof path)
			return false;
		strcpy(path, next);
	}
	return false;
}

int netns_enter(const char *netns, int *before)
{
	_close_ int fd = -1;
	char path[PATH_MAX];
	int own;

	find_path(netns, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return -errno;
	if (setns(fd, CLONE_NEWNET) < 0) {
		int r = errno == EINVAL ? -ENOENT : -errno; /* the file is made first (ip-netns(8)),
							       and becomes one then */

		close(own);
		return r;
	}
	*before = own;
	return 0;
}

void netns_leave(int before)
{
	/* Otherwise this thread would open everything else in the wrong namespace. */
	if (setns(before, CLONE_NEWNET) < 0)
		abort();
	close(before);
}
