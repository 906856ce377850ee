/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log. It owns one datagram socket to journald or syslogd, opened once and never reopened behind the caller's back:
 * libsystemd's sd_journal_send() caches a descriptor of its own, and where one descriptor table serves several
 * processes, a cached number that somebody closed soon is somebody else's connection. Hence the two datagram protocols
 * here, journald's native one (systemd.io/JOURNAL_NATIVE_PROTOCOL) and syslog(3)'s.
 */
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024 };

static enum log_to log_target = LOG_TO_STDERR;
static int log_fd = -1;
static bool log_prefixed; /* standard error leads to journald: <N> before the line, sd-daemon(3) */
static _Atomic int log_default_level = LOG_INFO;
static _Atomic int *log_level_at = &log_default_level;
static _Atomic uint64_t log_lost_lines;

static const char *const level_names[] = {
	[LOG_ERR] = "error", [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
	[LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

static int connect_datagram(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

int log_open(enum log_to to, int *fd)
{
	int r = -1;

	*fd = -1;
	log_prefixed = getenv("JOURNAL_STREAM") != NULL;
	if (to != LOG_TO_STDERR) {
		r = connect_datagram(to == LOG_TO_JOURNAL ? "/run/systemd/journal/socket" : "/dev/log");
		if (r < 0)
			return r;
		log_fd = *fd = r;
	}
	log_target = to;
	return 0;
}

void log_set_level_at(_Atomic int *level)
{
	log_level_at = level;
}

int log_level(void)
{
	return atomic_load_explicit(log_level_at, memory_order_relaxed);
}

int log_level_from_name(const char *name)
{
	for (int i = LOG_ERR; i <= LOG_DEBUG; i++)
		if (!strcmp(name, level_names[i]))
			return i;
	return -EINVAL;
}

const char *log_level_name(int level)
{
	return level >= LOG_ERR && level <= LOG_DEBUG ? level_names[level] : "?";
}

uint64_t log_lost(void)
{
	return atomic_load(&log_lost_lines);
}

static void send_datagram(const char *head, size_t head_len, const char *line, size_t len)
{
	struct iovec parts[] = {
		{.iov_base = (void *)head, .iov_len = head_len},
		{.iov_base = (void *)line, .iov_len = len},
		{.iov_base = (void *)"\n", .iov_len = log_target == LOG_TO_JOURNAL},
	};
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 3};

	/* A journal that stands still must not hold up traffic. */
	if (sendmsg(log_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		atomic_fetch_add(&log_lost_lines, 1);
}

void log_write(int level, const char *format, ...)
{
	char line[LINE_MAX_BYTES], head[96];
	va_list args;
	int len, head_len;

	va_start(args, format);
	len = vsnprintf(line, sizeof line - 1, format, args);
	va_end(args);
	if (len < 0)
		return;
	if ((size_t)len > sizeof line - 2)
		len = sizeof line - 2;
	for (int i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = ' ';

	switch (log_target) {
	case LOG_TO_JOURNAL:
		head_len = snprintf(head, sizeof head, "PRIORITY=%d\nSYSLOG_IDENTIFIER=spliced\nMESSAGE=",
				    level);
		send_datagram(head, (size_t)head_len, line, (size_t)len);
		return;
	case LOG_TO_SYSLOG:
		head_len = snprintf(head, sizeof head, "<%d>spliced[%d]: ", LOG_DAEMON | level, getpid());
		send_datagram(head, (size_t)head_len, line, (size_t)len);
		return;
	case LOG_TO_STDERR:
		line[len++] = '\n';
		head_len = log_prefixed ? snprintf(head, sizeof head, "<%d>", level)
					: snprintf(head, sizeof head, "spliced: ");
		struct iovec parts[] = {{head, (size_t)head_len}, {line, (size_t)len}};
		if (writev(STDERR_FILENO, parts, 2) < 0)
			atomic_fetch_add(&log_lost_lines, 1);
		return;
	}
}

void log_lines(int level, const char *prefix, const char *text)
{
	while (text && *text) {
		size_t len = strcspn(text, "\n");

		log_at(level, "%s%.*s", prefix, (int)len, text);
		text += len + (text[len] == '\n');
	}
}
