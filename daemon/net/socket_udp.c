/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What only datagram sockets of inet and inet6 have: multicast groups, errors reported without a
 * connection. What surprised us: an IPv6 socket that sends to a group from a link-local address
 * does not know its own scope.
 */
#include "net/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { ERRORS_MAX = 1024 }; /* that are read at once */

static int domain_of(int fd)
{
	int domain = AF_UNSPEC;
	socklen_t len = sizeof domain;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ? AF_UNSPEC : domain;
}

static void set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof value);
}

int socket_bind_host(int fd, const struct address *address)
{
	struct address host = *address;

	if (host.storage.ss_family == AF_INET)
		((struct sockaddr_in *)&host.storage)->sin_port = 0;
	else
		((struct sockaddr_in6 *)&host.storage)->sin6_port = 0;
	return bind(fd, address_sockaddr_const(&host), host.len) < 0 ? -errno : 0;
}

void socket_want_errors(int fd)
{
	if (domain_of(fd) == AF_INET6)
		set(fd, SOL_IPV6, IPV6_RECVERR, 1);
	else
		set(fd, SOL_IP, IP_RECVERR, 1);
}

/* The kernel bounds the queue by the socket's buffer. */
void socket_forget_errors(int fd)
{
	char byte;

	for (int i = 0;
	     i < ERRORS_MAX && recv(fd, &byte, sizeof byte, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0; i++)
		;
}

void socket_hear_only_joined(int fd)
{
	int domain = domain_of(fd);

	if (domain == AF_INET || domain == AF_INET6)
		set(fd, SOL_IP, IP_MULTICAST_ALL, 0);
	if (domain == AF_INET6)
		set(fd, SOL_IPV6, IPV6_MULTICAST_ALL, 0);
}

int socket_sender_address(int fd, struct address *ret)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&ret->storage;
	int r = socket_local_address(fd, ret), index = 0;
	socklen_t len = sizeof index;

	if (r < 0 || in6->sin6_family != AF_INET6 || !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) ||
	    in6->sin6_scope_id)
		return r;
	if (!getsockopt(fd, SOL_IPV6, IPV6_MULTICAST_IF, &index, &len))
		in6->sin6_scope_id = (uint32_t)index;
	return 0;
}
