/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/netns.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int netns_enter(const char *netns, int *before)
{
	_close_ int fd = -1;
	char path[PATH_MAX];
	int own;

	snprintf(path, sizeof path, "%s%s", strchr(netns, '/') ? "" : "/run/netns/", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return -errno;
	if (setns(fd, CLONE_NEWNET) < 0) {
		int r = -errno;

		close(own);
		return r;
	}
	*before = own;
	return 0;
}

void netns_leave(int before)
{
	/* What this thread opened from here on would be in a place that nobody asked for. */
	if (setns(before, CLONE_NEWNET) < 0)
		abort();
	close(before);
}
