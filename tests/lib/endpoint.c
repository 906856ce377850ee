/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses as text, and the sockets they lead to. Own code on purpose: a mistake in the daemon's
 * parser must not be repeated by what tests it. */
#include "peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

static int parse_unix(struct endpoint *ret, const char *path)
{
	struct sockaddr_un *address = (struct sockaddr_un *)&ret->address;
	size_t len = strlen(path);

	if (len < 2 || len >= sizeof(address->sun_path))
		return -EINVAL;
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, len);
	ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (path[0] == '@')
		address->sun_path[0] = '\0';
	else
		ret->len++;
	return 0;
}

static int parse_tcp(struct endpoint *ret, const char *text)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&ret->address;
	struct sockaddr_in *four = (struct sockaddr_in *)&ret->address;
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2];
	size_t len;
	int port;

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return -EINVAL;
	len = (size_t)(colon - text);
	memcpy(host, text, len);
	host[len] = '\0';
	port = atoi(colon + 1);
	if (port <= 0 || port > 65535)
		return -EINVAL;
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)port);
		ret->len = sizeof(*six);
		return inet_pton(AF_INET6, host + 1, &six->sin6_addr) == 1 ? 0 : -EINVAL;
	}
	four->sin_family = AF_INET;
	four->sin_port = htons((uint16_t)port);
	ret->len = sizeof(*four);
	return inet_pton(AF_INET, host, &four->sin_addr) == 1 ? 0 : -EINVAL;
}

int endpoint_parse(struct endpoint *ret, const char *text)
{
	static const char *const tcp[] = {"tcp://", "tcp4://", "tcp6://"};
	size_t i;

	memset(ret, 0, sizeof(*ret));
	if (strncmp(text, "greet+", 6) == 0) {
		ret->greets = true;
		text += 6;
	}
	if (strncmp(text, "unix://", 7) == 0)
		return parse_unix(ret, text + 7);
	for (i = 0; i < sizeof(tcp) / sizeof(tcp[0]); i++)
		if (strncmp(text, tcp[i], strlen(tcp[i])) == 0)
			return parse_tcp(ret, text + strlen(tcp[i]));
	return -EINVAL;
}

int endpoint_listen(const struct endpoint *endpoint)
{
	const struct sockaddr_un *local = (const struct sockaddr_un *)&endpoint->address;
	int fd, r, one = 1;

	fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (endpoint->address.ss_family == AF_UNIX) {
		if (local->sun_path[0])
			unlink(local->sun_path);
	} else {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	}
	if (bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->len) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

void endpoint_set_timeout(int fd, unsigned timeout_ms)
{
	struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

int endpoint_connect(const struct endpoint *endpoint, unsigned timeout_ms, int receive_buffer)
{
	int fd, r, one = 1;

	fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	endpoint_set_timeout(fd, timeout_ms);
	if (receive_buffer > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
	if (endpoint->address.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (const struct sockaddr *)&endpoint->address, endpoint->len) < 0) {
		/* A connect that ran out of SO_SNDTIMEO says EINPROGRESS on TCP, EAGAIN on UNIX. */
		r = errno == EINPROGRESS || errno == EAGAIN ? -ETIMEDOUT : -errno;
		close(fd);
		return r;
	}
	return fd;
}
