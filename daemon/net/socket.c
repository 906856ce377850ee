/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets of any family: queries, and how they are ended. Nothing is owned: descriptors belong to
 * the caller.
 */
#include "net/socket.h"

#include <spliced/plugin.h>

#include <errno.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SO_ORIGINAL_DST
#define SO_ORIGINAL_DST 80 /* IP6T_SO_ORIGINAL_DST too */
#endif

int socket_set_int(int fd, int level, int option, int64_t value)
{
	int number = (int)value;

	return setsockopt(fd, level, option, &number, sizeof number) < 0 ? -errno : 0;
}

int socket_get_int(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

int socket_connect(int fd, const struct address *address)
{
	return connect(fd, address_sockaddr_const(address), address->len) < 0 ? -errno : 0;
}

int socket_take_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof error;

	/* A file has no pending error. */
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno == ENOTSOCK ? 0 : -errno;
	return -error;
}

bool socket_is_connected(int fd)
{
	struct address peer;

	return socket_peer_address(fd, &peer) == 0;
}

short socket_poll(int fd, short events)
{
	struct pollfd look = {.fd = fd, .events = events};

	return poll(&look, 1, 0) == 1 ? look.revents : 0;
}

int socket_file_error(int fd, int error)
{
	return error == EINVAL && socket_poll(fd, 0) & (POLLHUP | POLLERR) ? EIO : error;
}

void socket_set_abort(int fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

void socket_clear_abort(int fd)
{
	struct linger linger = {0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

uint64_t socket_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

bool socket_is_accepted(int fd)
{
	int type = socket_get_int(fd, SO_TYPE);

	return (type == SOCK_STREAM || type == SOCK_SEQPACKET) &&
	       socket_get_int(fd, SO_ACCEPTCONN) == 0;
}

bool socket_has_lost_device(int fd)
{
	char name[IFNAMSIZ];
	socklen_t len = sizeof name;

	return getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len) < 0 && errno == ENODEV;
}

static bool in6_fits(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
	return a->sin6_port == b->sin6_port && (IN6_IS_ADDR_UNSPECIFIED(&a->sin6_addr) ||
						IN6_ARE_ADDR_EQUAL(&a->sin6_addr, &b->sin6_addr));
}

static bool in_fits(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
	return a->sin_port == b->sin_port && (a->sin_addr.s_addr == htonl(INADDR_ANY) ||
					      a->sin_addr.s_addr == b->sin_addr.s_addr);
}

bool socket_address_fits(const struct address *listening, const struct address *local)
{
	const void *a = &listening->storage, *b = &local->storage;

	if (listening->storage.ss_family != local->storage.ss_family)
		return false;
	switch (listening->storage.ss_family) {
	case AF_INET:
		return in_fits(a, b);
	case AF_INET6:
		return in6_fits(a, b);
	}
	return address_equal(listening, local);
}

void socket_stop_datagrams(int fd)
{
	struct address own;

	if (socket_local_address(fd, &own) < 0)
		return;
	if (own.storage.ss_family == AF_UNIX) {
		shutdown(fd, SHUT_RD);
		return;
	}
	/* Binding it to a device again, even to none, removes it from its SO_REUSEPORT group: the
	 * others keep their shares when it is closed. This needs CAP_NET_RAW if the socket is bound
	 * to a device. */
	if (own.storage.ss_family == AF_INET || own.storage.ss_family == AF_INET6)
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0);
	socket_connect(fd, &own);
}

/* Full if a sender to the UNIX datagram socket bound to this address would have to wait. */
static enum socket_queue ask_as_sender(const struct address *address)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	enum socket_queue answer = SOCKET_QUEUE_UNKNOWN;

	if (fd < 0)
		return answer;
	if (!socket_connect(fd, address))
		answer = socket_poll(fd, POLLOUT) & POLLOUT ? SOCKET_QUEUE_HAS_ROOM
							    : SOCKET_QUEUE_CROWDED;
	close(fd);
	return answer;
}

enum socket_queue socket_queue(int fd)
{
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof memory;
	struct address own;

	if (!getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &len) && memory[SK_MEMINFO_RMEM_ALLOC])
		return memory[SK_MEMINFO_RMEM_ALLOC] > memory[SK_MEMINFO_RCVBUF] / 2
			       ? SOCKET_QUEUE_CROWDED
			       : SOCKET_QUEUE_HAS_ROOM;
	if (socket_get_int(fd, SO_DOMAIN) == AF_UNIX && socket_get_int(fd, SO_TYPE) == SOCK_DGRAM &&
	    !socket_local_address(fd, &own))
		return ask_as_sender(&own);
	return SOCKET_QUEUE_UNKNOWN;
}

bool socket_may_drop(const struct spliced_row *row)
{
	return row->capabilities & SPLICED_BOUNDARIES && !(row->capabilities & SPLICED_RELIABLE);
}

uint32_t socket_drops(int fd)
{
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof memory;

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &len) < 0 ? 0
									: memory[SK_MEMINFO_DROPS];
}

bool socket_said_fin(int fd)
{
	return socket_poll(fd, POLLRDHUP) & (POLLRDHUP | POLLHUP | POLLERR);
}

void socket_tell_only_credentials(int fd, bool tell)
{
	socket_set_int(fd, SOL_SOCKET, SO_PASSCRED, tell);
	socket_set_int(fd, SOL_SOCKET, SO_PASSSEC, 0);
	socket_set_int(fd, SOL_SOCKET, SO_PASSPIDFD, 0);
	socket_set_int(fd, SOL_SOCKET, SO_TIMESTAMP, 0); /* of every kind */
}

int socket_peer_credentials(int fd, uid_t *uid, gid_t *gid)
{
	struct ucred credentials;
	socklen_t len = sizeof credentials;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0)
		return -errno;
	*uid = credentials.uid;
	*gid = credentials.gid;
	return 0;
}

int socket_peer_groups(int fd, gid_t *groups, unsigned max)
{
	socklen_t len = max * (socklen_t)sizeof *groups;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return errno == ENODATA || errno == EOPNOTSUPP || errno == ENOPROTOOPT ? 0 : -errno;
	return (int)(len / sizeof *groups);
}

int socket_local_address(int fd, struct address *ret)
{
	ret->len = sizeof ret->storage;
	return getsockname(fd, address_sockaddr(ret), &ret->len) < 0 ? -errno : 0;
}

void socket_fill_port(struct address *local, const struct address *listening)
{
	struct sockaddr_in *port =
		(void *)&local->storage; /* a sockaddr_in6 has it in the same place */

	if ((local->storage.ss_family == AF_INET || local->storage.ss_family == AF_INET6) &&
	    !port->sin_port)
		port->sin_port =
			((const struct sockaddr_in *)(const void *)&listening->storage)->sin_port;
}

int socket_peer_address(int fd, struct address *ret)
{
	ret->len = sizeof ret->storage;
	return getpeername(fd, address_sockaddr(ret), &ret->len) < 0 ? -errno : 0;
}

/* An IPv6 socket queries IPv4-mapped addresses as IPv4. */
int socket_original_address(int fd, struct address *ret)
{
	ret->len = sizeof(struct sockaddr_in6);
	if (!getsockopt(fd, SOL_IPV6, SO_ORIGINAL_DST, &ret->storage, &ret->len))
		return 0;
	ret->len = sizeof(struct sockaddr_in);
	return getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &ret->storage, &ret->len) < 0 ? -errno : 0;
}

uint64_t socket_netns(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

int socket_take_name(int fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	return bind(fd, (const struct sockaddr *)&address, sizeof address.sun_family) < 0 ? -errno
											  : 0;
}
