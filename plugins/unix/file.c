/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file of a unix socket. It stays behind when its socket dies, and bind(2) refuses the name
 * until it is removed: that is reclaim()'s task, which needs care. Only the file of a dead socket
 * is ever removed, or our own.
 *
 * Whether a socket is alive is tested by connect(2) of a datagram socket, through an open
 * descriptor of the very file: the kernel returns EPROTOTYPE for a socket of another type, even one
 * that does not listen yet, 0 for a datagram socket, and ECONNREFUSED for none. The tested process
 * does not notice.
 *
 * unix_whose.c determines which file is our own. A process that can write to the directory can
 * replace the file at any moment: so changes use a descriptor, and a file to be removed is first
 * moved to a secret name, and checked there.
 */
#include "unix/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATH_LIMIT = 256 }; /* a socket's name, and what is added to it */

/* The file itself, whatever kind it is, not what it may point to. */
static int open_file(const struct spliced_options *options, struct stat *ret)
{
	int fd = open(unix_path(options), O_PATH | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	if (!fstat(fd, ret))
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* A name that leads to the open file and nothing else. */
static const char *fd_path(int fd, char *text, size_t size)
{
	snprintf(text, size, "/proc/self/fd/%d", fd);
	return text;
}

/* Who may not give the file away, and what helps. */
static void refuse_gift(const struct spliced_options *options, enum unix_option option, int r)
{
	const char *to = spliced_value(options, option)->text;
	const struct passwd *user = getpwuid(geteuid());
	char number[16];

	snprintf(number, sizeof number, "%u", (unsigned)geteuid());
	if (r != -EPERM)
		SPLICED_ERROR(options, (int)option, "cannot give %s to \"%s\": %s",
			      unix_path(options), to, strerror(-r));
	else if (option == UNIX_OPTION_OWNER)
		SPLICED_ERROR(
			options, UNIX_OPTION_OWNER,
			"cannot give %s to user \"%s\": user %s lacks CAP_CHOWN: omit owner and use group",
			unix_path(options), to, user ? user->pw_name : number);
	else
		SPLICED_ERROR(
			options, UNIX_OPTION_GROUP,
			"cannot give %s to group \"%s\": user %s is not a member: set SupplementaryGroups=%s in the unit, or run usermod -aG %s %s",
			unix_path(options), to, user ? user->pw_name : number, to, to,
			user ? user->pw_name : number);
}

/* By the descriptor, so that the file cannot be replaced between check and change. */
static int change_file(int fd, const struct stat *st, const struct spliced_options *options)
{
	const struct spliced_value *mode = spliced_value(options, UNIX_OPTION_MODE);
	int64_t uid = unix_id(options, UNIX_OPTION_OWNER),
		gid = unix_id(options, UNIX_OPTION_GROUP);
	char name[32];
	int r;

	if (uid < -1 || gid < -1)
		return -ESRCH;
	if ((uid >= 0 && (uid_t)uid != st->st_uid) || (gid >= 0 && (gid_t)gid != st->st_gid))
		if (fchownat(fd, "", (uid_t)uid, (gid_t)gid, AT_EMPTY_PATH) < 0) {
			r = -errno;
			refuse_gift(options,
				    uid >= 0 && (uid_t)uid != st->st_uid ? UNIX_OPTION_OWNER
									 : UNIX_OPTION_GROUP,
				    r);
			return r;
		}
	if (mode->state == SPLICED_UNSET || (st->st_mode & 07777) == (mode_t)mode->number)
		return 0;
	if (!chmod(fd_path(fd, name, sizeof name), (mode_t)mode->number))
		return 0;
	r = -errno;
	SPLICED_ERROR(options, UNIX_OPTION_MODE, "cannot set the mode of %s: %s",
		      unix_path(options), strerror(-r));
	return r;
}

int unix_bound(int fd, const struct spliced_options *options)
{
	struct stat st = {0};
	int file, r;

	if (unix_is_abstract(options))
		return 0;
	file = open_file(options, &st);
	r = file < 0			     ? file
	    : !S_ISSOCK(st.st_mode)	     ? -ENOTSOCK
	    : unix_is_ours(fd, &st, options) ? 0
					     : -ESTALE;
	if (r < 0)
		SPLICED_ERROR(options, UNIX_OPTION_PATH,
			      "%s was bound, but then replaced by another file: %s",
			      unix_path(options), strerror(-r));
	else
		r = change_file(file, &st, options);
	if (file >= 0)
		close(file);
	return r;
}

/* Whether no socket is bound to the file. In doubt (no permission to ask) one is. */
static int is_dead(int file)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, dead;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	fd_path(file, address.sun_path, sizeof address.sun_path);
	dead = connect(fd, (const struct sockaddr *)&address, sizeof address) < 0 &&
	       errno == ECONNREFUSED;
	close(fd);
	return dead;
}

static int is_file(const char *name, const struct stat *st)
{
	struct stat now;

	if (lstat(name, &now) < 0)
		return errno == ENOENT ? -ENOENT : -EADDRINUSE;
	return now.st_dev == st->st_dev && now.st_ino == st->st_ino ? 0 : -EADDRINUSE;
}

/* A unique name in the file's directory. */
static int make_way(const char *path, char *name, size_t size)
{
	uint64_t chance;

	if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != (ssize_t)sizeof chance)
		return -EAGAIN;
	return (size_t)snprintf(name, size, "%s.%016llx", path, (unsigned long long)chance) < size
		       ? 0
		       : -ENAMETOOLONG;
}

/* A file that replaced the checked one before the move is moved back. 0: the file is gone;
 * -EADDRINUSE: there is another. */
static int remove_file(const struct spliced_options *options, const struct stat *st)
{
	const char *path = unix_path(options);
	char aside[PATH_LIMIT];
	int r = is_file(path, st);

	if (r)
		return r == -ENOENT ? 0 : r;
	r = make_way(path, aside, sizeof aside);
	if (r < 0)
		return r;
	if (renameat2(AT_FDCWD, path, AT_FDCWD, aside, RENAME_NOREPLACE) < 0 && errno != ENOENT)
		return errno == EINVAL && !unlink(path)
			       ? 0
			       : -errno; /* a file system that cannot do that */
	r = is_file(aside, st);
	if (!r)
		return unlink(aside) < 0 ? -errno : 0;
	if (r == -ENOENT)
		return 0;
	renameat2(AT_FDCWD, aside, AT_FDCWD, path, RENAME_NOREPLACE);
	return -EADDRINUSE;
}

int unix_reclaim(const struct spliced_options *options, const struct sockaddr *address,
		 socklen_t len)
{
	struct stat st = {0};
	int file, r;

	(void)address;
	(void)len;
	if (unix_is_abstract(options) || !spliced_value(options, UNIX_OPTION_UNLINK)->number)
		return -EADDRINUSE;
	file = open_file(options, &st);
	if (file < 0)
		return file == -ENOENT ? 0 : -EADDRINUSE;
	r = S_ISSOCK(st.st_mode) && is_dead(file) ? remove_file(options, &st) : -EADDRINUSE;
	close(file);
	if (!S_ISSOCK(st.st_mode))
		SPLICED_ERROR(options, UNIX_OPTION_PATH,
			      "%s exists and is not a socket: move it away", unix_path(options));
	else if (r < 0 && r != -EADDRINUSE)
		SPLICED_ERROR(options, UNIX_OPTION_PATH,
			      "cannot remove the stale socket file %s: %s", unix_path(options),
			      strerror(-r));
	return r < 0 ? -EADDRINUSE : 0;
}

/* Without the socket: where it was closed first, the file is a dead one. */
void unix_unlink(const struct spliced_options *options, const struct sockaddr *address,
		 socklen_t len)
{
	struct stat st = {0};
	int file;

	(void)address;
	(void)len;
	if (unix_is_abstract(options) || !spliced_value(options, UNIX_OPTION_UNLINK)->number)
		return;
	file = open_file(options, &st);
	if (file < 0)
		return;
	if (S_ISSOCK(st.st_mode) && is_dead(file))
		remove_file(options, &st);
	close(file);
}

void unix_release(int fd, const struct spliced_options *options)
{
	struct stat st = {0};
	int file;

	if (unix_is_abstract(options) || options->role != SPLICED_LISTEN ||
	    !spliced_value(options, UNIX_OPTION_UNLINK)->number)
		return;
	file = open_file(options, &st);
	if (file < 0)
		return;
	if (unix_is_ours(fd, &st, options))
		remove_file(options, &st);
	close(file);
}
