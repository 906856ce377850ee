/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rows of inet and inet6, which differ in the scheme's digit and in the size of a datagram.
 * MPTCP answers TCP_INFO, but for its first subflow alone. */
#pragma once

#include "ip/ip.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define IP_ROW_TABLE(version, udp_max)                                         \
	{                                                                      \
		[IP_ROW_TCP] = {.type = SOCK_STREAM,                           \
				.protocol = IPPROTO_TCP,                       \
				.name = "tcp",                                 \
				.scheme = "tcp" version,                       \
				.pattern = "HOST:PORT",                        \
				.capabilities = IP_STREAM | SPLICED_TCP_INFO}, \
		[IP_ROW_MPTCP] = {.type = SOCK_STREAM,                         \
				  .protocol = IPPROTO_MPTCP,                   \
				  .name = "mptcp",                             \
				  .pattern = "HOST:PORT",                      \
				  .capabilities = IP_STREAM},                  \
		[IP_ROW_UDP] = {.type = SOCK_DGRAM,                            \
				.protocol = IPPROTO_UDP,                       \
				.name = "udp",                                 \
				.scheme = "udp" version,                       \
				.pattern = "HOST:PORT",                        \
				.capabilities = IP_DATAGRAM,                   \
				.max_message = (udp_max)},                     \
	}
