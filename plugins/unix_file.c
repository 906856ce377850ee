/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file of a unix socket. It stays behind when its socket dies, and bind(2) refuses the name
 * until somebody removes it: that is reclaim()'s work, and the reason for its care. Only the file
 * of a dead socket is ever removed, or our own.
 *
 * Who lives is asked with a connect(2) of a datagram socket, by an open descriptor of the very
 * file: the kernel says EPROTOTYPE for a socket of another type, even one that does not listen yet,
 * 0 for a datagram socket, and ECONNREFUSED for none. Nobody notices.
 *
 * Which file is our own the kernel tells nobody without CAP_NET_ADMIN. So bound() leaves a mark:
 * the nanoseconds of the file's modification time are the number of the socket, as fstat(2) has it.
 * A file without it is left alone; if it was ours after all, the next reclaim() finds it dead.
 */
#include "unix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/net.h>
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

/* A name that leads to the open file and nothing else. */
static const char *fd_path(int fd, char *text, size_t size)
{
	snprintf(text, size, "/proc/self/fd/%d", fd);
	return text;
}

/* By the descriptor, so that nobody can put another file in its place between the look and the
 * change. */
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
			SPLICED_ERROR(options, uid >= 0 ? UNIX_OPTION_OWNER : UNIX_OPTION_GROUP,
				      "cannot give %s away: %s", unix_path(options), strerror(-r));
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

static long mark_of(ino_t inode)
{
	return (long)(inode % 1000000000);
}

/* Marks the file of a socket that was just bound, or finds the mark on one that listens. */
static int mark_file(int file, const struct stat *st, int fd)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};
	socklen_t len = sizeof(int);
	struct stat own;
	char name[32];
	int listens = 0;

	if (fstat(fd, &own) < 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0)
		return -errno;
	if (st->st_mtim.tv_nsec == mark_of(own.st_ino))
		return 0;
	if (listens)
		return -ESTALE;
	times[1].tv_nsec = mark_of(own.st_ino);
	utimensat(AT_FDCWD, fd_path(file, name, sizeof name), times, 0);
	return 0;
}

int unix_bound(int fd, const struct spliced_options *options)
{
	struct stat st = {0};
	int file, r;

	if (unix_is_abstract(options))
		return 0;
	file = open_file(options, &st);
	r = file < 0 ? file : S_ISSOCK(st.st_mode) ? mark_file(file, &st, fd) : -ENOTSOCK;
	if (r < 0)
		SPLICED_ERROR(options, UNIX_OPTION_PATH,
			      "%s was bound, but somebody took its place: %s", unix_path(options),
			      strerror(-r));
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

/* The last look at the name is as late as can be: only a file that replaced it between that look
 * and the unlink would be lost. 0: it is gone; -EADDRINUSE: another stands there. */
static int remove_file(const struct spliced_options *options, const struct stat *st)
{
	struct stat now;

	if (lstat(unix_path(options), &now) < 0)
		return errno == ENOENT ? 0 : -EADDRINUSE;
	if (now.st_dev != st->st_dev || now.st_ino != st->st_ino)
		return -EADDRINUSE;
	return unlink(unix_path(options)) < 0 && errno != ENOENT ? -errno : 0;
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
			      "%s is there and is no socket: move it away", unix_path(options));
	else if (r < 0 && r != -EADDRINUSE)
		SPLICED_ERROR(options, UNIX_OPTION_PATH,
			      "cannot remove %s, which a dead socket left: %s", unix_path(options),
			      strerror(-r));
	return r < 0 ? -EADDRINUSE : 0;
}

/* Whether the file bears the mark of the one socket that has its name. Accepted sockets have the
 * name too, but a state of their own; two that wait for clients, and we cannot tell which is us.
 * A datagram socket to which anybody connected, is_dead() above too, is in that state for ever. */
static int is_ours(const struct spliced_options *options, const struct stat *st)
{
	FILE *table = fopen("/proc/thread-self/net/unix", "re");
	unsigned long inode, found = 0;
	unsigned type, state, n = 0;
	char line[512];
	int at;

	while (table && fgets(line, sizeof line, table)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*s %*s %*s %*s %x %x %lu %n", &type, &state, &inode, &at) != 3)
			continue;
		if (state != SS_UNCONNECTED && !(type == SOCK_DGRAM && state == SS_CONNECTED))
			continue;
		if (strcmp(line + at, unix_path(options)) != 0)
			continue;
		found = inode;
		n++;
	}
	if (table)
		fclose(table);
	return n == 1 && mark_of(found) == st->st_mtim.tv_nsec;
}

void unix_unbound(const struct spliced_options *options, const struct sockaddr *address,
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
	if (S_ISSOCK(st.st_mode) && (is_dead(file) || is_ours(options, &st)))
		remove_file(options, &st);
	close(file);
}

/* With the socket at hand there is no doubt, whoever else has its name: the sockets that an earlier reload has left, too. */
void unix_leave(int fd, const struct spliced_options *options)
{
	struct stat st = {0}, own;
	int file;

	if (unix_is_abstract(options) || options->role != SPLICED_LISTEN ||
	    !spliced_value(options, UNIX_OPTION_UNLINK)->number || fstat(fd, &own) < 0)
		return;
	file = open_file(options, &st);
	if (file < 0)
		return;
	if (S_ISSOCK(st.st_mode) && st.st_mtim.tv_nsec == mark_of(own.st_ino))
		remove_file(options, &st);
	close(file);
}
