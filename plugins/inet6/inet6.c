/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The family inet6, ipv6(7), tcp(7). What it shares with inet is in ip.c, and
 * ip_socket.c; its own are v6only and the flow label. A label is leased by the socket that uses it:
 * without that the kernel accepts it only while no process on the machine has an exclusive lease. A
 * shared lease needs a destination, which is never compared, so it is ::1.
 */
#include "ip/ip.h"
#include "ip/row.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/in6.h>
#include <string.h>

static const struct spliced_row rows[IP_ROWS] = IP_ROW_TABLE("6", IP6_UDP_MAX);

static const struct ip_level level = {
	.domain = AF_INET6,
	.level = SOL_IPV6,
	.tos = IPV6_TCLASS,
	.ttl = IPV6_UNICAST_HOPS,
	.freebind = IPV6_FREEBIND,
	.transparent = IPV6_TRANSPARENT,
};

/* The label that a target asks for, or 0. */
static uint32_t flow_label(const struct spliced_options *options)
{
	return options->role == SPLICED_CONNECT
		       ? (uint32_t)spliced_value(options, IP_OPTION_FLOWLABEL)->number
		       : 0;
}

static int inet6_address(const struct spliced_options *options, struct sockaddr_storage *address,
			 socklen_t *len)
{
	struct ip_host host;
	int r = ip_host(options, AF_INET6, &host);

	if (r < 0)
		return r;
	ip_sockaddr(AF_INET6, &host, (unsigned)spliced_value(options, IP_OPTION_PORT)->number,
		    address, len);
	((struct sockaddr_in6 *)address)->sin6_flowinfo = htonl(flow_label(options));
	return 0;
}

static int lease_flow_label(int fd, const struct spliced_options *options)
{
	struct in6_flowlabel_req request = {
		.flr_dst = IN6ADDR_LOOPBACK_INIT,
		.flr_label = htonl(flow_label(options)),
		.flr_action = IPV6_FL_A_GET,
		.flr_share = IPV6_FL_S_ANY,
		.flr_flags = IPV6_FL_F_CREATE,
	};
	int r;

	if (!flow_label(options))
		return 0;
	if (setsockopt(fd, SOL_IPV6, IPV6_FLOWLABEL_MGR, &request, sizeof request) < 0) {
		r = -errno;
		SPLICED_ERROR(options, IP_OPTION_FLOWLABEL, "cannot lease flow label %#x: %s",
			      flow_label(options), strerror(-r));
		return r;
	}
	return ip_set(fd, options, IP_OPTION_FLOWLABEL, SOL_IPV6, IPV6_FLOWINFO_SEND, 1);
}

static int inet6_prepare(int fd, const struct spliced_options *options)
{
	int r = 0;

	if (!ip_is_open(fd)) {
		if (options->role == SPLICED_LISTEN)
			r = ip_set(fd, options, IP_OPTION_V6ONLY, SOL_IPV6, IPV6_V6ONLY,
				   spliced_value(options, IP_OPTION_V6ONLY)->number != 0);
		else
			r = lease_flow_label(fd, options);
	}
	return r < 0 ? r : ip_prepare(fd, options, &level);
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "inet6",
	.domain = AF_INET6,
	.n_rows = IP_ROWS,
	.n_options = IP_INET6_OPTIONS,
	.rows = rows,
	.options = ip_options,
	.summary = "IPv6: TCP, Multipath TCP and UDP",
	.address = inet6_address,
	.describe = ip_describe,
	.prepare = inet6_prepare,
	.peer_key = ip_peer_key,
	.privileges = ip_privileges,
	.reply = ip_reply,
	.copied = ip_copied,
};
