/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A configuration is read several times at a start, by several processes: for the daemon's own
 * settings, for the privileges it needs, and as a whole. A pipe can be read only once, so its
 * contents are kept in memory, which forked children have too. A new program would find the pipe at
 * its end, which reads as an empty configuration: so upgrade and reload are refused by their
 * callers.
 */
#include "language/input.h"

#include "base/arena.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	bool is_read;
	int result;
	char *text;
	size_t len;
} kept;

/* The descriptor that a path stands for: "-", /dev/stdin, /dev/fd/N, /proc/self/fd/N. -1: none. */
static int number_of(const char *path)
{
	static const char *const directories[] = {"/dev/fd/", "/proc/self/fd/"};
	char *end;
	long number;

	if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdin") == 0)
		return STDIN_FILENO;
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		if (strncmp(path, directories[i], strlen(directories[i])) != 0)
			continue;
		path += strlen(directories[i]);
		number = strtol(path, &end, 10);
		return *path >= '0' && *path <= '9' && *end == '\0' && number >= 0 &&
				       number < 1 << 20
			       ? (int)number
			       : -1;
	}
	return -1;
}

bool input_is_read_once(const char *path)
{
	int fd = number_of(path);
	struct stat status;

	/* A regular file can be opened again under that name. */
	return fd == STDIN_FILENO ||
	       (fd >= 0 && (kept.is_read || (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode))));
}

/* Reads more. Positive: number of bytes; 0: the end. */
static ssize_t read_some(int fd, size_t size)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	ssize_t n;

	do {
		n = read(fd, kept.text + kept.len, size - kept.len);
		if (n < 0 && errno == EAGAIN && poll(&poll_fd, 1, -1) < 0 && errno != EINTR)
			return -errno;
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n < 0 ? -errno : n;
}

static int read_to_end(int fd, size_t max)
{
	size_t size = 0;
	ssize_t n;

	do {
		if (kept.len == size) {
			char *larger = realloc(kept.text, size ? 2 * size : 16384);

			if (!larger)
				return -ENOMEM;
			kept.text = larger;
			size = size ? 2 * size : 16384;
		}
		n = read_some(fd, size);
		kept.len += n > 0 ? (size_t)n : 0;
		if (kept.len > max)
			return -EFBIG;
	} while (n > 0);
	return (int)n;
}

static int read_once(const char *path, size_t max, const char **ret, size_t *ret_len)
{
	if (!kept.is_read) {
		int fd = number_of(path);

		kept.is_read = true;
		kept.result = read_to_end(fd, max);
		if (fd > STDERR_FILENO)
			close(fd);
	}
	*ret = kept.text ? kept.text : "";
	*ret_len = kept.len;
	return kept.result;
}

static int read_all(struct arena *arena, int fd, size_t max, const char **ret, size_t *ret_len)
{
	size_t len = 0, size = 0;
	char *text = NULL, *larger;
	ssize_t n;

	do {
		if (len == size) {
			size = size ? 2 * size : 16384;
			larger = arena_take(arena, size, 1);
			if (!larger)
				return -ENOMEM;
			if (len)
				memcpy(larger, text, len);
			text = larger;
		}
		n = read(fd, text + len, size - len);
		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
		if (len > max)
			return -EFBIG;
	} while (n != 0);
	*ret = text;
	*ret_len = len;
	return 0;
}

/* Opens without blocking. A named FIFO without a writer would read as an empty configuration. */
int input_read(struct arena *arena, const char *path, size_t max, const char **ret, size_t *ret_len)
{
	_close_ int fd = -1;
	struct stat status;

	if (input_is_read_once(path))
		return read_once(path, max, ret, ret_len);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &status) < 0)
		return -errno;
	if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode))
		return -ESPIPE;
	return read_all(arena, fd, max, ret, ret_len);
}
