/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets are created here: to connect, to listen, to test an address. A family's prepare() and
 * bound() set its own options, between the calls that are the same for all.
 */
#include "net/socket.h"

#include "net/callback.h"
#include "net/family.h"
#include "net/netns.h"
#include "net/passed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(struct socket_failure *failure, const char *call, int fd, int r)
{
	if (failure)
		failure->call = call;
	if (fd >= 0)
		close(fd);
	return r;
}

/* Flags of every file that a family opens, set here in case the family forgot them. */
static int open_file(const struct family *family, const struct spliced_options *options)
{
	int fd = (int)CALLBACK(family, open, family->plugin.open(options)), flags, r;

	if (fd < 0)
		return fd;
	flags = fcntl(fd, F_GETFL);
	r = flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
			    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0
		    ? -errno
		    : 0;
	if (!r && family->plugin.prepare)
		r = (int)CALLBACK(family, prepare, family->plugin.prepare(fd, options));
	return r < 0 ? fail(NULL, NULL, fd, r) : fd;
}

/* Sets up a new socket. Returns its descriptor, or closes it and returns negative errno. */
static int set_up(int fd, const struct family *family, const struct spliced_options *options,
		  const struct socket_options *common)
{
	int r = socket_apply(fd, common);

	if (!r && family->plugin.prepare)
		r = (int)CALLBACK(family, prepare, family->plugin.prepare(fd, options));
	if (!r)
		r = socket_set_priority(fd, common);
	if (!r && options->row->capabilities & SPLICED_TCP_INFO)
		socket_keep_urgent(fd);
	return r < 0 ? fail(NULL, NULL, fd, r) : fd;
}

static int open_here(const struct family *family, const struct spliced_options *options,
		     const struct socket_options *common)
{
	const struct spliced_row *row = options->row;
	int fd;

	if (row->capabilities & SPLICED_FILE)
		return open_file(family, options);
	fd = socket(row->domain, row->type | SOCK_NONBLOCK | SOCK_CLOEXEC, row->protocol);
	return fd < 0 ? -errno : set_up(fd, family, options, common);
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

/* A restart must not wait for TIME_WAIT. For datagrams the option would take over another process's
 * address. */
static void share_address(int fd, const struct spliced_row *row)
{
	if (!socket_has_no_connections(row))
		socket_set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
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

/* A descriptor of our own for a socket that the service manager has bound. */
static int take_passed(const struct family *family, const struct spliced_options *options,
		       const struct socket_options *common)
{
	const struct passed *passed = passed_find(common->passed);
	int fd;

	if (!passed)
		return -ENOENT;
	if (passed->domain != options->row->domain || passed->type != options->row->type)
		return -EPROTOTYPE;
	if (!socket_has_no_connections(options->row) &&
	    socket_get_int(passed->fd, SO_ACCEPTCONN) != 1)
		return -EINVAL;
	fd = fcntl(passed->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return fd < 0 ? -errno : set_up(fd, family, options, common);
}

bool socket_is_bound_late(const struct spliced_row *row)
{
	uint64_t both = SPLICED_CONNECTIONLESS | SPLICED_READERS;

	return (row->capabilities & both) == both &&
	       (row->domain == AF_INET || row->domain == AF_INET6);
}

/* Whether a socket could be bound to this host: tested with a port that no client uses. */
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
		r = socket_set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
		if (r < 0)
			return fail(failure, "setsockopt(SO_REUSEPORT)", fd, r);
	}
	if (socket_is_bound_late(options->row)) {
		r = try_host(family, options, address, common);
		return r < 0 ? fail(failure, "bind", fd, r) : fd;
	}
	r = bind_for_good(fd, family, options, address, failure);
	if (r < 0)
		return fail(NULL, NULL, fd, r);
	/* Datagrams that arrive meanwhile are refused: its peer is itself. */
	if (options->row->capabilities & SPLICED_CONNECTIONLESS && !socket_local_address(fd, &own))
		socket_connect(fd, &own);
	return fd;
}

int socket_listen(int fd, const struct spliced_row *row, const struct address *address, int backlog,
		  struct socket_failure *failure)
{
	static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	if (socket_is_bound_late(row)) {
		failure->call = "bind";
		return bind(fd, address_sockaddr_const(address), address->len) < 0 ? -errno : 0;
	}
	failure->call = "listen";
	if (!socket_has_no_connections(row))
		return listen(fd, backlog) < 0 ? -errno : 0;
	if (row->capabilities & SPLICED_CONNECTIONLESS)
		(void)connect(fd, &nobody, sizeof nobody);
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
