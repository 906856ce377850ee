/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Options that sockets of every family take: buffers, mark, priority; set before a socket is open
 * to clients, changed on an open one, and read back from the kernel.
 */
#include "net/socket.h"

#include "net/family.h"
#include "net/netns.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

/* In the kernel since 5.14; the C library's headers have it later. */
#ifndef SOCK_SNDBUF_LOCK
#define SOCK_SNDBUF_LOCK 1
#define SOCK_RCVBUF_LOCK 2
#endif

int socket_apply(int fd, const struct socket_options *common)
{
	int r = 0;

	if (!common)
		return 0;
	/* Past the system's limit if permitted, else up to it. */
	if (common->sndbuf && socket_set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, common->sndbuf) < 0)
		r = socket_set_int(fd, SOL_SOCKET, SO_SNDBUF, common->sndbuf);
	if (!r && common->rcvbuf &&
	    socket_set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, common->rcvbuf) < 0)
		r = socket_set_int(fd, SOL_SOCKET, SO_RCVBUF, common->rcvbuf);
	if (!r && common->mark >= 0)
		r = socket_set_int(fd, SOL_SOCKET, SO_MARK, common->mark);
	if (!r && common->priority >= 0)
		r = socket_set_int(fd, SOL_SOCKET, SO_PRIORITY, common->priority);
	return r;
}

int64_t socket_granted(int fd, enum socket_buffer buffer)
{
	return socket_get_int(fd, buffer == SOCKET_SENDS ? SO_SNDBUF : SO_RCVBUF) /
	       2; /* -1 / 2 is 0 */
}

int socket_try_buffers(struct socket_options *common)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	common->mark = common->priority = -1;
	socket_apply(fd, common);
	common->sndbuf = socket_granted(fd, SOCKET_SENDS);
	common->rcvbuf = socket_granted(fd, SOCKET_RECEIVES);
	return close(fd);
}

/* An option of the family, as IP_TOS, may change this as well, so the configured value is set
 * last. */
int socket_set_priority(int fd, const struct socket_options *common)
{
	return common && common->priority >= 0
		       ? socket_set_int(fd, SOL_SOCKET, SO_PRIORITY, common->priority)
		       : 0;
}

void socket_set_accepted(int fd, const struct spliced_row *row, const struct socket_options *common)
{
	struct socket_options own = {
		.sndbuf = common->sndbuf, .mark = common->mark, .priority = -1};

	if (row->domain == AF_UNIX)
		socket_apply(fd, &own);
	socket_set_priority(fd, common);
}

/* The default of a socket of this kind. */
static int usual(const struct spliced_row *row, const struct socket_options *common, int option)
{
	int before = -1, fd, value = -1;

	if (common->netns && netns_enter(common->netns, &before) < 0)
		return -1;
	fd = socket(row->domain, row->type | SOCK_CLOEXEC, row->protocol);
	if (common->netns)
		netns_leave(before);
	if (fd < 0)
		return -1;
	value = socket_get_int(fd, option);
	close(fd);
	return value;
}

/* Back to automatic sizing by the kernel (SO_BUF_LOCK, socket(7)). Setting a size doubles it. */
static void free_buffer(int fd, const struct spliced_row *row, const struct socket_options *common,
			int option, int lock)
{
	int locks = socket_get_int(fd, SO_BUF_LOCK), size;

	if (locks < 0 || !(locks & lock))
		return;
	size = usual(row, common, option);
	if (size > 0 && !socket_set_int(fd, SOL_SOCKET, option, size / 2))
		socket_set_int(fd, SOL_SOCKET, SO_BUF_LOCK, locks & ~lock);
}

int socket_change(int fd, const struct spliced_row *row, const struct socket_options *common)
{
	struct socket_options now = *common;

	if (!now.sndbuf)
		free_buffer(fd, row, common, SO_SNDBUF, SOCK_SNDBUF_LOCK);
	if (!now.rcvbuf)
		free_buffer(fd, row, common, SO_RCVBUF, SOCK_RCVBUF_LOCK);
	if (now.mark < 0 && socket_get_int(fd, SO_MARK) > 0)
		now.mark = 0;
	if (now.priority < 0 && socket_get_int(fd, SO_PRIORITY) > 0)
		now.priority = 0;
	return socket_apply(fd, &now);
}
