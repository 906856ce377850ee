/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The family inet, ip(7), tcp(7): IPv4. What it shares with inet6 is in ip.c, ip_rule.c and
 * ip_socket.c. */
#include "ip/ip.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* MPTCP answers TCP_INFO, but for its first subflow alone. */
static const struct spliced_row rows[IP_ROWS] = {
	[IP_ROW_TCP] =
		{
			.type = SOCK_STREAM,
			.protocol = IPPROTO_TCP,
			.name = "tcp",
			.scheme = "tcp4",
			.pattern = "HOST:PORT",
			.capabilities = IP_STREAM | SPLICED_TCP_INFO,
		},
	[IP_ROW_MPTCP] =
		{
			.type = SOCK_STREAM,
			.protocol = IPPROTO_MPTCP,
			.name = "mptcp",
			.pattern = "HOST:PORT",
			.capabilities = IP_STREAM,
		},
	[IP_ROW_UDP] =
		{
			.type = SOCK_DGRAM,
			.protocol = IPPROTO_UDP,
			.name = "udp",
			.scheme = "udp4",
			.pattern = "HOST:PORT",
			.capabilities = IP_DATAGRAM,
			.max_message = IP_UDP_MAX,
		},
};

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
	.abi_major = SPLICED_ABI_MAJOR,
	.abi_minor = SPLICED_ABI_MINOR,
	.abi_needs = 0,
	.size = sizeof(struct spliced_plugin),
	.row_stride = sizeof(struct spliced_row),
	.option_stride = sizeof(struct spliced_option),
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
	.canonical = ip_canonical,
	.rule = ip_rule,
	.match = ip_match,
	.needs = ip_needs,
	.reply = ip_reply,
	.copied = ip_copied,
};
