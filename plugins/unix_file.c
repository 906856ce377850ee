/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file of a unix socket. It stays behind when its socket dies, and bind(2) refuses the name until somebody removes it:
 * that is reclaim()'s work, and the reason for its care. Only the file of a dead socket is ever removed.
 *
 * Who lives is asked with a connect(2) of another socket type, by an open descriptor of the very file: the kernel says EPROTOTYPE
 * for any socket bound there, even one that does not listen yet, and ECONNREFUSED for none. No listener notices. unbound() asks
 * the same, after our socket was closed: who lives now has taken our place.
 */
#include "unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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

/* The name of an open file that leads to it and nothing else. */
static const char *fd_path(int fd, char text[static 32])
{
	snprintf(text, 32, "/proc/self/fd/%d", fd);
	return text;
}

/* By the descriptor, so that nobody can put another file in its place between the look and the change. */
static int change_file(int fd, const struct stat *st, const struct spliced_options *options)
{
	const struct spliced_value *mode = spliced_value(options, UNIX_OPTION_MODE);
	int64_t uid = unix_id(options, UNIX_OPTION_OWNER), gid = unix_id(options, UNIX_OPTION_GROUP);
	char name[32];
	int r;

	if (uid < -1 || gid < -1)
		return -ESRCH;
	if ((uid >= 0 && (uid_t)uid != st->st_uid) || (gid >= 0 && (gid_t)gid != st->st_gid))
		if (fchownat(fd, "", (uid_t)uid, (gid_t)gid, AT_EMPTY_PATH) < 0) {
			r = -errno;
			SPLICED_ERROR(options, uid >= 0 ? UNIX_OPTION_OWNER : UNIX_OPTION_GROUP, "cannot give %s away: %s", unix_path(options),
				      strerror(-r));
			return r;
		}
	if (mode->state == SPLICED_UNSET || (st->st_mode & 07777) == (mode_t)mode->number)
		return 0;
	if (!chmod(fd_path(fd, name), (mode_t)mode->number))
		return 0;
	r = -errno;
	SPLICED_ERROR(options, UNIX_OPTION_MODE, "cannot set the mode of %s: %s", unix_path(options), strerror(-r));
	return r;
}

int unix_bound(int fd, const struct spliced_options *options)
{
	struct stat st;
	int file, r;

	(void)fd;
	if (unix_is_abstract(options))
		return 0;
	file = open_file(options, &st);
	if (file < 0 || !S_ISSOCK(st.st_mode)) {
		r = file < 0 ? file : -ENOTSOCK;
		SPLICED_ERROR(options, UNIX_OPTION_PATH, "%s was bound, but somebody took it away: %s", unix_path(options), strerror(-r));
	} else {
		r = change_file(file, &st, options);
	}
	if (file >= 0)
		close(file);
	return r;
}

/* Whether no socket is bound to the file. In doubt (no permission to ask) one is. */
static int is_dead(int file)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char name[32];
	int fd, dead;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	strcpy(address.sun_path, fd_path(file, name));
	dead = connect(fd, (const struct sockaddr *)&address, sizeof address) < 0 && errno == ECONNREFUSED;
	close(fd);
	return dead;
}

/* Removes the file of a dead socket. The last look at the name is as late as can be: only a file that replaced it between that look
 * and the unlink would be lost. 0: it is gone; -EADDRINUSE: it stays. */
static int remove_dead(const struct spliced_options *options, int file, const struct stat *st)
{
	struct stat now;

	if (!S_ISSOCK(st->st_mode) || !is_dead(file))
		return -EADDRINUSE;
	if (lstat(unix_path(options), &now) < 0)
		return errno == ENOENT ? 0 : -EADDRINUSE;
	if (now.st_dev != st->st_dev || now.st_ino != st->st_ino)
		return -EADDRINUSE;
	return unlink(unix_path(options)) < 0 && errno != ENOENT ? -errno : 0;
}

int unix_reclaim(const struct spliced_options *options, const struct sockaddr *address, socklen_t len)
{
	struct stat st;
	int file, r;

	(void)address;
	(void)len;
	if (unix_is_abstract(options) || !spliced_value(options, UNIX_OPTION_UNLINK)->number)
		return -EADDRINUSE;
	file = open_file(options, &st);
	if (file < 0)
		return file == -ENOENT ? 0 : -EADDRINUSE;
	r = remove_dead(options, file, &st);
	close(file);
	if (!S_ISSOCK(st.st_mode))
		SPLICED_ERROR(options, UNIX_OPTION_PATH, "%s is there and is no socket: move it away", unix_path(options));
	else if (r < 0 && r != -EADDRINUSE)
		SPLICED_ERROR(options, UNIX_OPTION_PATH, "cannot remove %s, which a dead socket left: %s", unix_path(options),
			      strerror(-r));
	return r < 0 ? -EADDRINUSE : 0;
}

void unix_unbound(const struct spliced_options *options, const struct sockaddr *address, socklen_t len)
{
	struct stat st;
	int file;

	(void)address;
	(void)len;
	if (unix_is_abstract(options) || !spliced_value(options, UNIX_OPTION_UNLINK)->number)
		return;
	file = open_file(options, &st);
	if (file < 0)
		return;
	remove_dead(options, file, &st);
	close(file);
}
