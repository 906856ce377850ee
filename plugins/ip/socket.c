/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets of inet and inet6: which options they take, and how these are set. Accepted sockets
 * inherit all of it from the one that listens. Where an option is at the kernel's own default no
 * call is made, except on an open socket, which a reload may have to bring back there.
 *
 * Kernel 6.1 knows no keepalive times for MPTCP, and IP_BIND_ADDRESS_NO_PORT neither: both are
 * wishes, and not held against it. No kernel yet lets an MPTCP socket have a TTL or a user timeout,
 * so the table does not offer them there.
 */
#include "ip/ip.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ONLY_TCP (UINT64_C(1) << IP_ROW_TCP)
#define ONLY_UDP (UINT64_C(1) << IP_ROW_UDP)
#define STREAMS (ONLY_TCP | UINT64_C(1) << IP_ROW_MPTCP)
#define SECONDS(n) ((n)*INT64_C(1000000000))

/* clang-format off */
const struct spliced_option ip_options[IP_INET6_OPTIONS] = {
	[IP_OPTION_HOST] = {.name = "host", .type = SPLICED_HOST,
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "Address or name; \"\" listens on every address"},
	[IP_OPTION_PORT] = {.name = "port", .type = SPLICED_NUMBER, .min = 1, .max = 65535,
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "Port number. Listening: also a range, \"4000-4999\", one listener for each of its ports. "
		       "Target: also \"+N\", the port that the client arrived at plus N"},
	[IP_OPTION_BACKLOG] = {.name = "backlog", .type = SPLICED_NUMBER, .min = 1, .max = 1048576,
		.rows = STREAMS, .flags = SPLICED_LIVE, .roles = SPLICED_LISTEN, .default_text = "4096",
		.doc = "Maximum number of connections waiting to be accepted; limited by net.core.somaxconn"},
	[IP_OPTION_INTERFACE] = {.name = "interface", .type = SPLICED_INTERFACE,
		.flags = SPLICED_REOPEN,
		.doc = "Receive and send only through this network interface"},
	[IP_OPTION_SOURCE] = {.name = "source", .type = SPLICED_STRING,
		.flags = SPLICED_REOPEN, .roles = SPLICED_CONNECT,
		.doc = "Local address to connect from; or :PORT, the port to send from to a multicast group"},
	[IP_OPTION_FREEBIND] = {.name = "freebind", .type = SPLICED_BOOL,
		.flags = SPLICED_REOPEN, .default_text = "false",
		.doc = "Allow binding to an address that this machine does not have yet"},
	[IP_OPTION_TRANSPARENT] = {.name = "transparent", .type = SPLICED_BOOL,
		.flags = SPLICED_REOPEN, .default_text = "false",
		.doc = "Allow binding to addresses of other machines, for traffic that is routed here"},
	[IP_OPTION_NODELAY] = {.name = "nodelay", .type = SPLICED_BOOL,
		.rows = STREAMS, .flags = SPLICED_LIVE, .default_text = "true",
		.doc = "Send small segments at once: disable the Nagle algorithm"},
	[IP_OPTION_KEEPALIVE] = {.name = "keepalive", .type = SPLICED_BOOL,
		.rows = STREAMS, .flags = SPLICED_LIVE, .default_text = "true",
		.doc = "Detect dead peers: 6 probes, one every 10 s, after 60 s of silence"},
	[IP_OPTION_USER_TIMEOUT] = {.name = "user_timeout", .type = SPLICED_DURATION,
		.max = SECONDS(20 * 86400),
		.flags = SPLICED_LIVE, .rows = ONLY_TCP, .default_text = "0s",
		.doc = "Time after which a connection with unacknowledged data is closed; 0: the kernel's default"},
	[IP_OPTION_FASTOPEN] = {.name = "fastopen", .type = SPLICED_NUMBER, .max = 65535,
		.rows = STREAMS, .flags = SPLICED_LIVE, .default_text = "0",
		.doc = "TCP Fast Open. Listening: maximum number pending. "
		       "Target: 1 enables it, if the client sends first"},
	[IP_OPTION_DEFER_ACCEPT] = {.name = "defer_accept", .type = SPLICED_DURATION,
		.max = SECONDS(3600),
		.rows = STREAMS, .flags = SPLICED_LIVE, .roles = SPLICED_LISTEN, .default_text = "0s",
		.doc = "Accept a connection when its first data arrives, or after this time"},
	[IP_OPTION_CONGESTION] = {.name = "congestion", .type = SPLICED_STRING,
		.rows = STREAMS, .flags = SPLICED_REOPEN,
		.doc = "Congestion control, one of net.ipv4.tcp_available_congestion_control"},
	[IP_OPTION_TOS] = {.name = "tos", .type = SPLICED_NUMBER, .max = 255,
		.flags = SPLICED_LIVE, .default_text = "0",
		.doc = "Type of service, or traffic class, of packets sent"},
	[IP_OPTION_TTL] = {.name = "ttl", .type = SPLICED_NUMBER, .min = 1, .max = 255,
		.flags = SPLICED_LIVE, .rows = ONLY_TCP | ONLY_UDP,
		.doc = "Hop limit of packets sent"},
	[IP_OPTION_BROADCAST] = {.name = "broadcast", .type = SPLICED_BOOL,
		.flags = SPLICED_REOPEN, .rows = ONLY_UDP, .default_text = "false",
		.doc = "Allow sending to broadcast addresses"},
	[IP_OPTION_MULTICAST_SOURCE] = {.name = "multicast_source", .type = SPLICED_STRING,
		.flags = SPLICED_REOPEN, .roles = SPLICED_LISTEN, .rows = ONLY_UDP,
		.doc = "Receive only what this address sends to the multicast group"},
	[IP_OPTION_MULTICAST_TTL] = {.name = "multicast_ttl", .type = SPLICED_NUMBER, .max = 255,
		.flags = SPLICED_REOPEN, .rows = ONLY_UDP, .default_text = "1",
		.doc = "Hop limit of packets sent to a multicast group"},
	[IP_OPTION_MULTICAST_LOOP] = {.name = "multicast_loop", .type = SPLICED_BOOL,
		.flags = SPLICED_REOPEN, .rows = ONLY_UDP, .default_text = "true",
		.doc = "Deliver packets sent to a multicast group to this machine, too"},
	[IP_OPTION_V6ONLY] = {.name = "v6only", .type = SPLICED_BOOL,
		.flags = SPLICED_REOPEN, .roles = SPLICED_LISTEN, .default_text = "true",
		.doc = "Accept only IPv6; if false, IPv4 clients are accepted, too"},
	[IP_OPTION_FLOWLABEL] = {.name = "flowlabel", .type = SPLICED_NUMBER, .max = 0xfffff,
		.flags = SPLICED_REOPEN, .roles = SPLICED_CONNECT,
		.doc = "Flow label of packets sent; 0: none"},
};
/* clang-format on */

int ip_is_open(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(int), address_len = sizeof address;
	struct ip_peer own;
	int listens = 0, type = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || listens)
		return listens;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_DGRAM ||
	    getsockname(fd, (struct sockaddr *)&address, &address_len) < 0)
		return 0;
	return !ip_read_peer((const struct sockaddr *)&address, address_len, &own) && own.port;
}

static int refuse_option(const struct spliced_options *options, int option, int r)
{
	SPLICED_ERROR(options, option, "cannot set \"%s\": %s",
		      option < 0 ? "pktinfo" : ip_options[option].name, strerror(-r));
	return r;
}

int ip_set(int fd, const struct spliced_options *options, int option, int level, int name,
	   int value)
{
	return setsockopt(fd, level, name, &value, sizeof value) < 0
		       ? refuse_option(options, option, -errno)
		       : 0;
}

static int set_text(int fd, const struct spliced_options *options, int option, int level, int name,
		    const char *hint)
{
	const struct spliced_value *value = spliced_value(options, (unsigned)option);
	int r;

	if (value->state == SPLICED_UNSET ||
	    !setsockopt(fd, level, name, value->text, (socklen_t)strlen(value->text)))
		return 0;
	r = -errno;
	SPLICED_ERROR(options, option, "cannot set \"%s\" to \"%s\": %s; %s",
		      ip_options[option].name, value->text, strerror(-r), hint);
	return r;
}

/* What there is is only looked up where it is not what was asked for. */
static int set_congestion(int fd, const struct spliced_options *options)
{
	static const char path[] = "/proc/sys/net/ipv4/tcp_available_congestion_control";
	const struct spliced_value *value = spliced_value(options, IP_OPTION_CONGESTION);
	char known[256] = "";
	ssize_t n = -1;
	int file, r;

	if (value->state == SPLICED_UNSET ||
	    !setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, value->text,
			(socklen_t)strlen(value->text)))
		return 0;
	r = -errno;
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file >= 0) {
		n = read(file, known, sizeof known - 1);
		close(file);
	}
	known[n > 0 ? n : 0] = '\0';
	known[strcspn(known, "\n")] = '\0';
	if (r == -EPERM)
		SPLICED_ERROR(
			options, IP_OPTION_CONGESTION,
			"\"%s\" may not be used; net.ipv4.tcp_allowed_congestion_control lists those that may",
			value->text);
	else
		SPLICED_ERROR(options, IP_OPTION_CONGESTION,
			      "there is no congestion control \"%s\" here; available: %s "
			      "(net.ipv4.tcp_available_congestion_control)",
			      value->text, *known ? known : "?");
	return r;
}

/* The local address of a socket that will connect. The port comes at connect(2), by the whole
 * 4-tuple, or 28,000 connections would use them up. */
static int bind_source(int fd, const struct spliced_options *options, const struct ip_level *level)
{
	struct sockaddr_storage address;
	struct ip_host source;
	socklen_t len;
	int r, one = 1;

	r = ip_source(options, level->domain, &source);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (source.interface)
		r = ip_index(fd, options, IP_OPTION_SOURCE, source.interface, &source.scope);
	if (r < 0)
		return r;
	setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
	ip_sockaddr(level->domain, &source, 0, &address, &len);
	if (!bind(fd, (const struct sockaddr *)&address, len))
		return 0;
	r = -errno;
	SPLICED_ERROR(options, IP_OPTION_SOURCE, "cannot connect from \"%s\": %s",
		      spliced_value(options, IP_OPTION_SOURCE)->text, strerror(-r));
	return r;
}

/* What a socket keeps for its life: set before bind(2). */
static int set_identity(int fd, const struct spliced_options *options, const struct ip_level *level)
{
	int r = 0;

	if (spliced_value(options, IP_OPTION_FREEBIND)->number)
		r = ip_set(fd, options, IP_OPTION_FREEBIND, level->level, level->freebind, 1);
	if (!r && spliced_value(options, IP_OPTION_TRANSPARENT)->number)
		r = ip_set(fd, options, IP_OPTION_TRANSPARENT, level->level, level->transparent, 1);
	if (!r)
		r = set_text(fd, options, IP_OPTION_INTERFACE, SOL_SOCKET, SO_BINDTODEVICE,
			     "does this interface exist?");
	if (!r)
		r = set_congestion(fd, options);
	return r < 0 ? r : bind_source(fd, options, level);
}

static int set_keepalive(int fd, const struct spliced_options *options, int open)
{
	static const struct {
		int name, value;
	} times[] = {{TCP_KEEPIDLE, 60}, {TCP_KEEPINTVL, 10}, {TCP_KEEPCNT, 6}};
	int on = spliced_value(options, IP_OPTION_KEEPALIVE)->number != 0, r;

	if ((!on && !open) || options->row->type != SOCK_STREAM)
		return 0;
	r = ip_set(fd, options, IP_OPTION_KEEPALIVE, SOL_SOCKET, SO_KEEPALIVE, on);
	for (size_t i = 0; !r && on && i < sizeof times / sizeof *times; i++) {
		if (options->row->protocol == IPPROTO_MPTCP)
			setsockopt(fd, IPPROTO_TCP, times[i].name, &times[i].value,
				   sizeof times[i].value);
		else
			r = ip_set(fd, options, IP_OPTION_KEEPALIVE, IPPROTO_TCP, times[i].name,
				   times[i].value);
	}
	return r;
}

static enum ip_row row_of(const struct spliced_options *options)
{
	switch (options->row->protocol) {
	case IPPROTO_MPTCP:
		return IP_ROW_MPTCP;
	case IPPROTO_UDP:
		return IP_ROW_UDP;
	}
	return IP_ROW_TCP;
}

/* A number that may change: set where it is not the kernel's default, or where it may have been
 * another. */
static int set_live(int fd, const struct spliced_options *options, int option, int open, int level,
		    int name, int64_t unit, int kernel_default)
{
	const struct spliced_value *value = spliced_value(options, (unsigned)option);
	const struct spliced_option *known = &ip_options[option];
	uint64_t row = UINT64_C(1) << row_of(options);
	int number = kernel_default;

	if ((known->rows && !(known->rows & row)) ||
	    (known->roles && !(known->roles & options->role)))
		return 0;
	if (value->state != SPLICED_UNSET)
		number = (int)((value->number + unit - 1) / unit);
	return number == kernel_default && !open ? 0
						 : ip_set(fd, options, option, level, name, number);
}

/* An IPv6 socket that also serves IPv4 sends that with the IPv4 option. */
static int set_tos(int fd, const struct spliced_options *options, int open,
		   const struct ip_level *level)
{
	int r = set_live(fd, options, IP_OPTION_TOS, open, level->level, level->tos, 1, 0);

	if (!r && level->domain == AF_INET6 && options->role == SPLICED_LISTEN &&
	    !spliced_value(options, IP_OPTION_V6ONLY)->number)
		r = set_live(fd, options, IP_OPTION_TOS, open, SOL_IP, IP_TOS, 1, 0);
	return r;
}

int ip_prepare(int fd, const struct spliced_options *options, const struct ip_level *level)
{
	const int listens = options->role == SPLICED_LISTEN, open = listens && ip_is_open(fd);
	int r = open ? 0 : set_identity(fd, options, level);

	if (!r)
		r = set_live(fd, options, IP_OPTION_NODELAY, open, IPPROTO_TCP, TCP_NODELAY, 1, 0);
	if (!r)
		r = set_keepalive(fd, options, open);
	if (!r)
		r = set_live(fd, options, IP_OPTION_USER_TIMEOUT, open, IPPROTO_TCP,
			     TCP_USER_TIMEOUT, 1000000, 0);
	/* A listener's queue; a target's yes, whatever the number. */
	if (!r)
		r = set_live(fd, options, IP_OPTION_FASTOPEN, open, IPPROTO_TCP,
			     listens ? TCP_FASTOPEN : TCP_FASTOPEN_CONNECT, listens ? 1 : 65535, 0);
	if (!r)
		r = set_live(fd, options, IP_OPTION_DEFER_ACCEPT, open, IPPROTO_TCP,
			     TCP_DEFER_ACCEPT, SECONDS(1), 0);
	if (!r)
		r = set_tos(fd, options, open, level);
	if (!r)
		r = set_live(fd, options, IP_OPTION_TTL, open, level->level, level->ttl, 1, -1);
	if (!r && options->row->type == SOCK_DGRAM)
		r = ip_prepare_datagrams(fd, options, level->domain, open);
	return r;
}

static unsigned first_unprivileged_port(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	unsigned port = 1024;

	if (!file)
		return port;
	if (fscanf(file, "%u", &port) != 1)
		port = 1024;
	fclose(file);
	return port;
}

uint64_t ip_privileges(const struct spliced_options *options)
{
	int64_t port = options->role == SPLICED_LISTEN
			       ? spliced_value(options, IP_OPTION_PORT)->number
			       : ip_source_port(options);
	uint64_t needs = 0;

	if (port && port < first_unprivileged_port())
		needs |= UINT64_C(1) << CAP_NET_BIND_SERVICE;
	if (spliced_value(options, IP_OPTION_TRANSPARENT)->number)
		needs |= UINT64_C(1) << CAP_NET_ADMIN;
	return needs;
}
