/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client's end of the control socket.
 *
 * An answer ends with its newline, not with the end of the stream: bytes that stop before it are an
 * incomplete answer, which is discarded. The daemon may close before it has read the request (it
 * has enough clients, say), so a send that fails with EPIPE still reads the answer.
 */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	ANSWER_FIRST = 64 * 1024,	/* the buffer grows from here, by doubling, */
	ANSWER_MAX = 256 * 1024 * 1024, /* to here: more sessions than a daemon holds */
};

static int silence_limit(int fd)
{
	struct timeval limit = {.tv_sec = CLIENT_SILENCE};

	/* The send limit also bounds a connect(2) that waits for a place in the backlog,
	 * unix(7). */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	return 0;
}

static int client_connect(int fd, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if (len == 0)
		return -ENOENT;
	if (len >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, len);

	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return 0;
}

static int request_send(int fd, const json_t *request)
{
	char *line = json_dumps(request, JSON_COMPACT);
	size_t len, sent = 0;
	int r = 0;

	if (!line)
		return -ENOMEM;
	len = strlen(line);
	line[len++] = '\n'; /* in the place of the NUL */

	while (sent < len) {
		ssize_t n = send(fd, line + sent, len - sent, MSG_NOSIGNAL);

		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno != EINTR) {
			r = errno == EAGAIN ? -ETIMEDOUT : -errno;
			break;
		}
	}
	free(line);
	return r == -EPIPE ? 0 : r;
}

static int buffer_grow(char **buffer, size_t *size)
{
	size_t larger = *size ? *size * 2 : ANSWER_FIRST;
	char *p;

	if (larger > ANSWER_MAX)
		return -EBADMSG;
	p = realloc(*buffer, larger);
	if (!p)
		return -ENOMEM;
	*buffer = p;
	*size = larger;
	return 0;
}

/* Reads up to the first newline. On success *ret is the caller's to free, also where r tells an
 * error. */
static int line_receive(int fd, char **ret, size_t *ret_len)
{
	size_t size = 0, len = 0;
	int r;

	for (;;) {
		char *newline;
		ssize_t n;

		if (len == size) {
			r = buffer_grow(ret, &size);
			if (r < 0)
				return r;
		}
		n = recv(fd, *ret + len, size - len, 0);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return -ENODATA;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;

		newline = memchr(*ret + len, '\n', (size_t)n);
		if (newline) {
			*ret_len = (size_t)(newline - *ret);
			return 0;
		}
		len += (size_t)n;
	}
}

static int answer_receive(int fd, struct answer *ret)
{
	struct answer answer = {0};
	int r = line_receive(fd, &answer.line, &answer.len);

	if (r == 0) {
		answer.root = json_loadb(answer.line, answer.len, JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_boolean(json_object_get(answer.root, "ok")))
			r = -EBADMSG;
	}
	if (r < 0) {
		client_answer_done(&answer);
		return r;
	}
	*ret = answer;
	return 0;
}

int client_ask(const char *path, const json_t *request, bool patient, struct answer *ret)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (!patient)
		r = silence_limit(fd);
	if (r == 0)
		r = client_connect(fd, path);
	if (r == 0)
		r = request_send(fd, request);
	if (r == 0)
		r = answer_receive(fd, ret);
	close(fd);
	return r;
}

void client_answer_done(struct answer *answer)
{
	json_decref(answer->root);
	free(answer->line);
	*answer = (struct answer){0};
}

const char *client_error(int r)
{
	switch (r) {
	case -ENOENT:
		return "no such socket; is spliced running?";
	case -ECONNREFUSED:
		return "nothing listens on it; is spliced running?";
	case -ENODATA:
		return "the daemon closed the connection without an answer";
	case -ETIMEDOUT:
		return "the daemon does not answer";
	case -EBADMSG:
		return "the answer is not from spliced, or from another release";
	case -ENAMETOOLONG:
		return "too long for a socket's path";
	}
	return strerror(-r);
}
