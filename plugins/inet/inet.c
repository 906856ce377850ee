/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The family inet, ip(7), tcp(7): IPv4. What it shares with inet6 is in ip.c, and
 * ip_socket.c. */
#include "ip/ip.h"
#include "ip/row.h"

static const struct spliced_row rows[IP_ROWS] = IP_ROW_TABLE("4", IP_UDP_MAX);

static const struct ip_level level = {
	.domain = AF_INET,
	.level = SOL_IP,
	.tos = IP_TOS,
	.ttl = IP_TTL,
	.freebind = IP_FREEBIND,
	.transparent = IP_TRANSPARENT,
};

static int inet_address(const struct spliced_options *options, struct sockaddr_storage *address,
			socklen_t *len)
{
	struct ip_host host;
	int r = ip_host(options, AF_INET, &host);

	if (!r)
		ip_sockaddr(AF_INET, &host,
			    (unsigned)spliced_value(options, IP_OPTION_PORT)->number, address, len);
	return r;
}

static int inet_prepare(int fd, const struct spliced_options *options)
{
	return ip_prepare(fd, options, &level);
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "inet",
	.domain = AF_INET,
	.n_rows = IP_ROWS,
	.n_options = IP_INET_OPTIONS,
	.rows = rows,
	.options = ip_options,
	.summary = "IPv4: TCP, Multipath TCP and UDP",
	.address = inet_address,
	.describe = ip_describe,
	.prepare = inet_prepare,
	.peer_key = ip_peer_key,
	.privileges = ip_privileges,
	.reply = ip_reply,
	.copied = ip_copied,
};
