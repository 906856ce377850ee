/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets of any family. It owns nothing: descriptors belong to whoever asked.
 */
#include "net/socket.h"

#include "net/callback.h"
#include "net/family.h"
#include "net/netns.h"
#include "net/passed.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

/* In the kernel since 5.14, of the C library's headers since later. */
#ifndef SOCK_SNDBUF_LOCK
#define SOCK_SNDBUF_LOCK 1
#define SOCK_RCVBUF_LOCK 2
#endif

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

static int fail(struct socket_failure *failure, const char *call, int fd, int r)
{
	if (failure)
		failure->call = call;
	if (fd >= 0)
		close(fd);
	return r;
}

static int set_int(int fd, int level, int option, int64_t value)
{
	int number = (int)value;

	return setsockopt(fd, level, option, &number, sizeof number) < 0 ? -errno : 0;
}

static int get_int(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

static int apply_common(int fd, const struct socket_options *common)
{
	int r = 0;

	if (!common)
		return 0;
	/* Past the system's limit where we may, else as far as it goes. */
	if (common->sndbuf && set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, common->sndbuf) < 0)
		r = set_int(fd, SOL_SOCKET, SO_SNDBUF, common->sndbuf);
	if (!r && common->rcvbuf && set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, common->rcvbuf) < 0)
		r = set_int(fd, SOL_SOCKET, SO_RCVBUF, common->rcvbuf);
	if (!r && common->mark >= 0)
		r = set_int(fd, SOL_SOCKET, SO_MARK, common->mark);
	if (!r && common->priority >= 0)
		r = set_int(fd, SOL_SOCKET, SO_PRIORITY, common->priority);
	return r;
}

int64_t socket_granted(int fd, enum socket_buffer buffer)
{
	return get_int(fd, buffer == SOCKET_SENDS ? SO_SNDBUF : SO_RCVBUF) / 2; /* -1 / 2 is 0 */
}

int socket_try_buffers(struct socket_options *common)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	common->mark = common->priority = -1;
	apply_common(fd, common);
	common->sndbuf = socket_granted(fd, SOCKET_SENDS);
	common->rcvbuf = socket_granted(fd, SOCKET_RECEIVES);
	return close(fd);
}

/* What a family sets, as IP_TOS, may set this as well: what was asked for comes last. */
int socket_set_priority(int fd, const struct socket_options *common)
{
	return common && common->priority >= 0
		       ? set_int(fd, SOL_SOCKET, SO_PRIORITY, common->priority)
		       : 0;
}

void socket_set_accepted(int fd, const struct family *family, const struct socket_options *common)
{
	struct socket_options own = {
		.sndbuf = common->sndbuf, .mark = common->mark, .priority = -1};

	if (family->plugin.domain == AF_UNIX)
		apply_common(fd, &own);
	socket_set_priority(fd, common);
}

/* What a socket of this kind has before anybody asks for something else. */
static int usual(const struct family *family, const struct spliced_row *row,
		 const struct socket_options *common, int option)
{
	int before = -1, fd, value = -1;

	if (common->netns && netns_enter(common->netns, &before) < 0)
		return -1;
	fd = socket(family->plugin.domain, row->type | SOCK_CLOEXEC, row->protocol);
	if (common->netns)
		netns_leave(before);
	if (fd < 0)
		return -1;
	value = get_int(fd, option);
	close(fd);
	return value;
}

/* Back to where the kernel sizes it (SO_BUF_LOCK, socket(7)). Setting a size doubles it. */
static void free_buffer(int fd, const struct family *family, const struct spliced_row *row,
			const struct socket_options *common, int option, int lock)
{
	int locks = get_int(fd, SO_BUF_LOCK), size;

	if (locks < 0 || !(locks & lock))
		return;
	size = usual(family, row, common, option);
	if (size > 0 && !set_int(fd, SOL_SOCKET, option, size / 2))
		set_int(fd, SOL_SOCKET, SO_BUF_LOCK, locks & ~lock);
}

int socket_change(int fd, const struct family *family, const struct spliced_row *row,
		  const struct socket_options *common)
{
	struct socket_options now = *common;

	if (!now.sndbuf)
		free_buffer(fd, family, row, common, SO_SNDBUF, SOCK_SNDBUF_LOCK);
	if (!now.rcvbuf)
		free_buffer(fd, family, row, common, SO_RCVBUF, SOCK_RCVBUF_LOCK);
	if (now.mark < 0 && get_int(fd, SO_MARK) > 0)
		now.mark = 0;
	if (now.priority < 0 && get_int(fd, SO_PRIORITY) > 0)
		now.priority = 0;
	return apply_common(fd, &now);
}

static int open_here(const struct family *family, const struct spliced_options *options,
		     const struct socket_options *common)
{
	const struct spliced_row *row = options->row;
	int fd, r;

	fd = socket(family->plugin.domain, row->type | SOCK_NONBLOCK | SOCK_CLOEXEC, row->protocol);
	if (fd < 0)
		return -errno;
	r = apply_common(fd, common);
	if (!r && family->plugin.prepare)
		r = (int)CALLBACK(family, prepare, family->plugin.prepare(fd, options));
	if (!r)
		r = socket_set_priority(fd, common);
	if (!r && options->row->capabilities & SPLICED_TCP_INFO)
		socket_keep_urgent(fd);
	return r < 0 ? fail(NULL, NULL, fd, r) : fd;
}

int socket_open(const struct family *family, const struct spliced_options *options,
		const struct socket_options *common)
{
	int before, fd;

	if (!common || !common->netns)
		return open_here(family, options, common);
	fd = netns_enter(common->netns, &before);
	if (fd < 0)
		return fd;
	fd = open_here(family, options, common);
	netns_leave(before);
	return fd;
}

bool socket_has_no_connections(const struct spliced_row *row)
{
	return row->capabilities & (SPLICED_CONNECTIONLESS | SPLICED_FEED);
}

/* Waiting out TIME_WAIT after a restart serves nobody. For datagrams the option would take away
 * another's address. */
static void share_address(int fd, const struct spliced_row *row)
{
	if (!socket_has_no_connections(row))
		set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
}

static int bind_address(int fd, const struct family *family, const struct spliced_options *options,
			const struct address *address)
{
	if (!bind(fd, address_sockaddr_const(address), address->len))
		return 0;
	if (errno != EADDRINUSE || !family->plugin.reclaim)
		return -errno;
	if (CALLBACK(family, reclaim,
		     family->plugin.reclaim(options, address_sockaddr_const(address),
					    address->len)) < 0)
		return -EADDRINUSE;
	return bind(fd, address_sockaddr_const(address), address->len) < 0 ? -errno : 0;
}

/* A descriptor of our own for a socket that somebody else has bound. */
static int take_passed(const struct family *family, const struct spliced_options *options,
		       const struct socket_options *common)
{
	const struct passed *passed = passed_find(common->passed);
	int fd, r;

	if (!passed)
		return -ENOENT;
	if (passed->domain != family->plugin.domain || passed->type != options->row->type)
		return -EPROTOTYPE;
	if (!socket_has_no_connections(options->row) && get_int(passed->fd, SO_ACCEPTCONN) != 1)
		return -EINVAL;
	fd = fcntl(passed->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (fd < 0)
		return -errno;
	r = apply_common(fd, common);
	if (!r && family->plugin.prepare)
		r = (int)CALLBACK(family, prepare, family->plugin.prepare(fd, options));
	if (!r)
		r = socket_set_priority(fd, common);
	if (!r && options->row->capabilities & SPLICED_TCP_INFO)
		socket_keep_urgent(fd);
	return r < 0 ? fail(NULL, NULL, fd, r) : fd;
}

bool socket_is_bound_late(const struct family *family, const struct spliced_row *row)
{
	uint64_t both = SPLICED_CONNECTIONLESS | SPLICED_READERS;

	return (row->capabilities & both) == both &&
	       (family->plugin.domain == AF_INET || family->plugin.domain == AF_INET6);
}

/* Whether a socket could be bound there: to a port that nobody sends to. */
static int try_host(const struct family *family, const struct spliced_options *options,
		    const struct address *address, const struct socket_options *common)
{
	int fd = socket_open(family, options, common), r;

	if (fd < 0)
		return fd;
	r = socket_bind_host(fd, address);
	close(fd);
	return r;
}

/* ... then what the family does to it. */
static int bind_for_good(int fd, const struct family *family, const struct spliced_options *options,
			 const struct address *address, struct socket_failure *failure)
{
	int r = bind_address(fd, family, options, address);

	failure->call = "bind";
	if (r < 0)
		return r;
	failure->call = "setting up the bound socket";
	return family->plugin.bound
		       ? (int)CALLBACK(family, bound, family->plugin.bound(fd, options))
		       : 0;
}

int socket_bind(const struct family *family, const struct spliced_options *options,
		const struct address *address, const struct socket_options *common, bool reuse_port,
		struct socket_failure *failure)
{
	struct address own;
	int fd, r;

	if (common && common->passed) {
		fd = take_passed(family, options, common);
		return fd < 0 ? fail(failure, "taking", -1, fd) : fd;
	}
	fd = socket_open(family, options, common);
	if (fd < 0)
		return fail(failure, "socket", -1, fd);
	share_address(fd, options->row);
	if (reuse_port) {
		r = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
		if (r < 0)
			return fail(failure, "setsockopt(SO_REUSEPORT)", fd, r);
	}
	if (socket_is_bound_late(family, options->row)) {
		r = try_host(family, options, address, common);
		return r < 0 ? fail(failure, "bind", fd, r) : fd;
	}
	r = bind_for_good(fd, family, options, address, failure);
	if (r < 0)
		return fail(NULL, NULL, fd, r);
	/* Who sends to it meanwhile is refused: it has a peer, and that is itself. */
	if (options->row->capabilities & SPLICED_CONNECTIONLESS && !socket_local_address(fd, &own))
		socket_connect(fd, &own);
	return fd;
}

int socket_listen(int fd, const struct family *family, const struct spliced_row *row,
		  const struct address *address, int backlog, struct socket_failure *failure)
{
	static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	if (socket_is_bound_late(family, row)) {
		failure->call = "bind";
		return bind(fd, address_sockaddr_const(address), address->len) < 0 ? -errno : 0;
	}
	failure->call = "listen";
	if (!socket_has_no_connections(row))
		return listen(fd, backlog) < 0 ? -errno : 0;
	if (row->capabilities & SPLICED_CONNECTIONLESS)
		connect(fd, &nobody, sizeof nobody);
	return 0;
}

int socket_probe(const struct family *family, const struct spliced_options *options,
		 const struct address *address, const struct socket_options *common)
{
	int fd, r;

	fd = socket_open(family, options, common);
	if (fd < 0)
		return fd;
	share_address(fd, options->row);
	r = bind(fd, address_sockaddr_const(address), address->len) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int socket_connect(int fd, const struct address *address)
{
	return connect(fd, address_sockaddr_const(address), address->len) < 0 ? -errno : 0;
}

int socket_take_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
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

bool socket_is_fresh(int fd)
{
	int state = socket_tcp_state(fd);

	/* A FIN of ours leaves ESTABLISHED and CLOSE_WAIT behind. */
	return state < 0 || state == SOCKET_TCP_ESTABLISHED || state == SOCKET_TCP_CLOSE_WAIT ||
	       state == SOCKET_TCP_SYN_RECV;
}

bool socket_is_accepted(int fd)
{
	int type = get_int(fd, SO_TYPE);

	return (type == SOCK_STREAM || type == SOCK_SEQPACKET) && get_int(fd, SO_ACCEPTCONN) == 0;
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

void socket_stop_syn(int fd)
{
	/* At a TCP socket a filter sees the packet from the TCP header on; byte 13 holds the
	 * flags. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

	if (socket_tcp_state(fd) >= 0)
		setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
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
	/* To be bound to a device anew, even to none, takes it out of its SO_REUSEPORT group: the
	 * others keep their shares when it is closed. A socket that is bound to one needs
	 * CAP_NET_RAW for that. */
	if (own.storage.ss_family == AF_INET || own.storage.ss_family == AF_INET6)
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0);
	socket_connect(fd, &own);
}

/* A sender's view of a UNIX datagram socket that is bound to this address: full when it would have
 * to wait. */
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
	if (get_int(fd, SO_DOMAIN) == AF_UNIX && get_int(fd, SO_TYPE) == SOCK_DGRAM &&
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
	set_int(fd, SOL_SOCKET, SO_PASSCRED, tell);
	set_int(fd, SOL_SOCKET, SO_PASSSEC, 0);
	set_int(fd, SOL_SOCKET, SO_PASSPIDFD, 0);
	set_int(fd, SOL_SOCKET, SO_TIMESTAMP, 0); /* of every kind */
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

/* An IPv6 socket asks of IPv4 in IPv6 dress as IPv4. */
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
