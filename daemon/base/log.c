/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log. It owns one datagram socket to journald or syslogd, opened once and never reopened
 * behind the caller's back: libsystemd's sd_journal_send() caches a descriptor of its own, and
 * where several processes share a descriptor table, a cached number that another process has closed
 * is soon reused for a connection. Hence the two datagram protocols here, journald's native one
 * (systemd.io/JOURNAL_NATIVE_PROTOCOL) and syslog(3)'s.
 *
 * Logging never blocks. Standard error is shared with the process that started the daemon, so
 * O_NONBLOCK must not be set on it: a pipe or a terminal is opened again, for an open file
 * description of our own; a socket is written to with MSG_DONTWAIT; anything else, as a file, is
 * polled first. A datagram socket whose reader was restarted is connected again, on the same
 * descriptor.
 */
#include "base/log.h"

#include "base/log_line.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024, HEAD_MAX_BYTES = 64 };

/* How to write to standard error. */
enum stderr_way { STDERR_POLLED, STDERR_OWN, STDERR_SOCKET };

static enum log_to log_target = LOG_TO_STDERR;
static enum stderr_way stderr_way = STDERR_POLLED;
static int log_fd = -1; /* of the datagram socket, or STDERR_OWN's */
static enum log_format log_format = LOG_FORMAT_TEXT;
static bool log_prefixed; /* standard error leads to journald: <N> before the line, sd-daemon(3) */
static _Atomic int log_default_level = LOG_INFO;
static _Atomic int *log_level_at = &log_default_level;
static struct log_losses log_own_losses, *log_losses = &log_own_losses;

static const char *datagram_path(void)
{
	return log_target == LOG_TO_JOURNAL ? "/run/systemd/journal/socket" : "/dev/log";
}

static int connect_datagram(int fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strncpy(address.sun_path, datagram_path(), sizeof address.sun_path - 1);
	return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
}

static int open_datagram(enum log_to to)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	log_target = to;
	r = connect_datagram(fd);
	if (!r)
		return fd;
	log_target = LOG_TO_STDERR;
	close(fd);
	return r;
}

/* The descriptor that was opened for it, or -1. */
static int open_stderr(void)
{
	struct stat status;
	int fd;

	stderr_way = STDERR_POLLED;
	if (fstat(STDERR_FILENO, &status) < 0)
		return -1;
	if (S_ISSOCK(status.st_mode)) {
		stderr_way = STDERR_SOCKET;
		return -1;
	}
	if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode))
		return -1;
	fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0)
		stderr_way = STDERR_OWN;
	return fd;
}

int log_open(enum log_to to, int *fd)
{
	*fd = -1;
	log_prefixed = getenv("JOURNAL_STREAM") != NULL;
	if (to != LOG_TO_STDERR) {
		*fd = open_datagram(to);
		if (*fd < 0) {
			int r = *fd;

			*fd = log_fd = open_stderr();
			return r;
		}
	} else {
		*fd = open_stderr();
	}
	log_fd = *fd;
	return 0;
}

void log_share(_Atomic int *level, struct log_losses *losses)
{
	log_level_at = level;
	log_losses = losses;
}

int log_level(void)
{
	return atomic_load_explicit(log_level_at, memory_order_relaxed);
}

uint64_t log_lost(void)
{
	return atomic_load(&log_losses->lost);
}

/* The reader was restarted: there is another socket at the same path. */
static bool is_parted(int error)
{
	return error == ECONNREFUSED || error == ECONNRESET || error == ENOTCONN || error == EPIPE;
}

/* 0 or negative errno; never waits. */
static int send_datagram(const struct iovec *parts, size_t count)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};

	if (sendmsg(log_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	if (!is_parted(errno) || connect_datagram(log_fd) < 0)
		return -errno;
	return sendmsg(log_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int write_stderr(const struct iovec *parts, size_t count)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
	struct pollfd look = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t n = -1;

	switch (stderr_way) {
	case STDERR_SOCKET:
		n = sendmsg(STDERR_FILENO, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case STDERR_OWN:
		n = writev(log_fd, parts, (int)count);
		break;
	case STDERR_POLLED:
		if (poll(&look, 1, 0) != 1 || !(look.revents & POLLOUT))
			return -EAGAIN;
		n = writev(STDERR_FILENO, parts, (int)count);
		break;
	}
	return n < 0 ? -errno : 0;
}

/* Empty if the format has all fields itself. */
static int print_head(int level, char head[HEAD_MAX_BYTES])
{
	switch (log_target) {
	case LOG_TO_JOURNAL:
		break;
	case LOG_TO_SYSLOG:
		return snprintf(head, HEAD_MAX_BYTES, "<%d>spliced[%d]: ", LOG_DAEMON | level,
				getpid());
	case LOG_TO_STDERR:
		if (log_prefixed)
			return snprintf(head, HEAD_MAX_BYTES, "<%d>", level);
		return log_format == LOG_FORMAT_TEXT ? snprintf(head, HEAD_MAX_BYTES, "spliced: ")
						     : 0;
	}
	return 0;
}

static int write_line(int level, const struct log_entry *entry, const char *line)
{
	char head[HEAD_MAX_BYTES], whole[LOG_LINE_MAX];
	struct iovec parts[] = {{head, (size_t)print_head(level, head)},
				{(void *)line, strlen(line)},
				{(void *)"\n", 1}};

	if (log_target == LOG_TO_JOURNAL)
		parts[1] = (struct iovec){whole, log_line_journal(level, entry, line, whole)};
	else if (log_target == LOG_TO_STDERR && log_format == LOG_FORMAT_JSON)
		parts[1] = (struct iovec){whole, log_line_json(level, entry, line, whole)};
	else if (log_target == LOG_TO_STDERR)
		return write_stderr(parts, 3);
	return log_target == LOG_TO_STDERR ? write_stderr(parts, 2) : send_datagram(parts, 2);
}

/* Lost lines are reported before the next line that can be written. */
static int tell_losses(void)
{
	static const struct log_entry entry = {.event = EVENT_LINES_LOST};
	uint64_t lost = atomic_load(&log_losses->lost), told = atomic_load(&log_losses->told);
	char line[LINE_MAX_BYTES];
	int r;

	if (lost == told)
		return 0;
	snprintf(
		line, sizeof line,
		"%llu lines of this log were lost: its reader did not keep up, or its disk is full",
		(unsigned long long)(lost - told));
	r = write_line(LOG_WARNING, &entry, line);
	if (!r)
		atomic_compare_exchange_strong(&log_losses->told, &told, lost);
	return r;
}

static void print_and_write(int level, const struct log_entry *entry, const char *format,
			    va_list args)
{
	char line[LINE_MAX_BYTES];

	if (vsnprintf(line, sizeof line, format, args) < 0)
		return;
	for (char *at = line; *at; at++)
		if ((unsigned char)*at < ' ')
			*at = ' ';
	if (tell_losses() < 0 || write_line(level, entry, line) < 0)
		atomic_fetch_add(&log_losses->lost, 1);
}

void log_write(int level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_and_write(level, NULL, format, args);
	va_end(args);
}

void log_write_entry(int level, const struct log_entry *entry, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_and_write(level, entry, format, args);
	va_end(args);
}

void log_add_field(struct log_entry *entry, const char *name, const char *value)
{
	if (!value || !*value || entry->n_fields == LOG_FIELDS_MAX)
		return;
	entry->fields[entry->n_fields].name = name;
	entry->fields[entry->n_fields++].value = value;
}

void log_set_format(enum log_format format)
{
	log_format = format;
}

void log_lines(int level, const char *prefix, const char *text)
{
	while (text && *text) {
		size_t len = strcspn(text, "\n");

		log_at(level, "%s%.*s", prefix, (int)len, text);
		text += len + (text[len] == '\n');
	}
}
