/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Landlock, by its system calls: Debian 12 has no library for it. All that the running kernel can
 * refuse is refused, except reading some places: no file is written here, and the keeper removes
 * what is bound in the file system. A newer kernel refuses what this file knows of.
 *
 * A rule is about an inode. procfs makes new ones at any time, so all of /proc may be read:
 * Landlock itself closes the files of other processes there, as it does ptrace(2). A replaced file
 * is a new inode, and needs a new worker. The network namespace of a process, by its name in /proc,
 * would be closed too: if a route is in one, files are not restricted.
 */
#include "keeper/files.h"

#include "base/cleanup.h"
#include "config/config.h"
#include "config/needs.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "net/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Constants that the kernel headers of the build may lack. */
enum {
	ACCESS_FS_1 = (1 << 13) - 1, /* of the first version: all up to MAKE_SYM */
	ACCESS_FS_REFER = 1 << 13,
	ACCESS_FS_TRUNCATE = 1 << 14,
	ACCESS_FS_IOCTL_DEV = 1 << 15,
	SCOPE_SIGNAL = 1 << 1,
};

static const char hosts_path[] = "/etc/hosts";

struct ruleset_attributes {
	uint64_t fs, net, scoped;
};

struct shut {
	int fd;	     /* the ruleset */
	uint64_t fs; /* what it refuses of files */
	int r;	     /* of the first rule that could not be added */
};

/* All that a kernel with this version can refuse, and the size of the attributes that it reads. */
static size_t handle_all(int version, struct ruleset_attributes *ret)
{
	*ret = (struct ruleset_attributes){.fs = ACCESS_FS_1};
	if (version >= 2)
		ret->fs |= ACCESS_FS_REFER;
	if (version >= 3)
		ret->fs |= ACCESS_FS_TRUNCATE;
	if (version >= 5)
		ret->fs |= ACCESS_FS_IOCTL_DEV;
	if (version >= 6)
		ret->scoped = SCOPE_SIGNAL;
	return version >= 6   ? sizeof *ret
	       : version >= 4 ? offsetof(struct ruleset_attributes, scoped)
			      : sizeof ret->fs;
}

/* What is not there needs no exception. */
static void leave_readable(struct shut *shut, const char *path)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE};
	_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return;
	if (S_ISDIR(status.st_mode))
		rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
	rule.parent_fd = fd;
	if (syscall(SYS_landlock_add_rule, shut->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) &&
	    !shut->r)
		shut->r = -errno;
}

/* Files that families open as targets and dials, FILE of plugin.h: devices, and what is in the same
 * directory as a path that is named. A device may come later. */
static void leave_usable(struct shut *shut, const char *path)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = (LANDLOCK_ACCESS_FS_READ_FILE |
								     LANDLOCK_ACCESS_FS_WRITE_FILE |
								     ACCESS_FS_IOCTL_DEV) &
								    shut->fs};
	_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	rule.parent_fd = fd;
	if (fd >= 0 &&
	    syscall(SYS_landlock_add_rule, shut->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) &&
	    !shut->r)
		shut->r = -errno;
}

static void leave_files(const struct config_endpoint *endpoint, void *data)
{
	const struct config_leg *leg = endpoint->n_legs ? &endpoint->legs[0] : NULL;
	char path[PATH_MAX];

	if (!leg || !(leg->row->capabilities & SPLICED_FILE))
		return;
	leave_usable(data, "/dev");
	for (uint32_t i = 0; i < leg->family->plugin.n_options; i++) {
		const char *text = leg->values[i].value.text;

		if (leg->family->options[i].type != SPLICED_PATH || !text || *text != '/')
			continue;
		snprintf(path, sizeof path, "%s", text);
		*strrchr(path, '/') = '\0';
		if (*path)
			leave_usable(data, path);
	}
}

static void look_for_processes(const struct config_endpoint *endpoint, void *data)
{
	const char *netns = endpoint->values[ENDPOINT_NETNS].value.text;

	*(bool *)data |= netns && netns_is_of_process(netns);
}

/* Landlock closes the files of other processes in /proc, and no rule opens them. */
static bool enters_processes(const struct generation *newest)
{
	bool enters = false;

	for (const struct generation *generation = newest; generation;
	     generation = generation->next)
		needs_each_endpoint(generation->config, look_for_processes, &enters);
	return enters;
}

static void look_for_names(const struct config_endpoint *endpoint, void *data)
{
	for (unsigned i = 0; endpoint->role == SPLICED_CONNECT && i < endpoint->n_legs; i++)
		*(bool *)data |= endpoint->legs[i].host_name != NULL;
}

#ifdef SPLICED_DEV
/* A sanitizer's report names lines of what it finds there. */
static void leave_program(struct shut *shut)
{
	char path[PATH_MAX] = "";
	char *slash;

	leave_readable(shut, "/usr");
	if (readlink("/proc/self/exe", path, sizeof path - 1) > 0 && (slash = strrchr(path, '/'))) {
		slash[slash == path] = '\0';
		leave_readable(shut, path);
	}
}
#endif

static bool looks_up(const struct generation *newest)
{
	bool names = false;

	for (const struct generation *generation = newest; generation;
	     generation = generation->next)
		needs_each_endpoint(generation->config, look_for_names, &names);
	return names;
}

static void leave_ours(struct shut *shut, const struct generation *newest)
{
	leave_readable(shut, "/proc");
	leave_readable(shut, "/dev/urandom");
	leave_readable(shut, "/etc/localtime");
	leave_readable(shut, "/usr/share/zoneinfo");
	if (looks_up(newest))
		leave_readable(shut, hosts_path);
#ifdef SPLICED_DEV
	leave_program(shut);
#endif
}

int files_shut(const struct generation *newest)
{
	struct ruleset_attributes attributes;
	_close_ int fd = -1;
	struct shut shut = {0};
	int version =
		(int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	size_t size;

	if (version < 0)
		return -errno;
	if (enters_processes(newest))
		return WALL_PROCESS;
	size = handle_all(version, &attributes);
	fd = shut.fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
	if (fd < 0)
		return -errno;
	shut.fs = attributes.fs;
	leave_ours(&shut, newest);
	for (const struct generation *generation = newest; generation;
	     generation = generation->next)
		needs_each_endpoint(generation->config, leave_files, &shut);
	if (!shut.r && syscall(SYS_landlock_restrict_self, fd, 0))
		shut.r = -errno;
	return shut.r ? shut.r : WALL_STANDS;
}

/* The keeper's own, as of the last worker's start. */
static struct stat hosts;

void files_note(void)
{
	if (stat(hosts_path, &hosts) < 0)
		hosts = (struct stat){0};
}

bool files_are_replaced(const struct ledger *ledger, const struct generation *newest)
{
	struct stat now;

	return ledger->keeper->wall_files == WALL_STANDS && looks_up(newest) &&
	       !stat(hosts_path, &now) &&
	       (now.st_ino != hosts.st_ino || now.st_dev != hosts.st_dev);
}
