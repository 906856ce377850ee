/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the family packet share. */
#pragma once

#include <spliced/plugin.h>

#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdbool.h>

enum packet_option {
	PACKET_OPTION_INTERFACE,
	PACKET_OPTION_PROTOCOL,
	PACKET_OPTION_FILTER,
	PACKET_OPTION_PROMISCUOUS,
	PACKET_OPTION_DIRECTION,
	PACKET_OPTION_SNAPLEN,
	PACKET_OPTION_FANOUT,
	PACKET_OPTION_VLAN,
	PACKET_OPTION_VNET_HEADER,
	PACKET_OPTIONS,
};

enum packet_direction { PACKET_IN, PACKET_OUT, PACKET_INOUT };

enum { PACKET_VNET_BYTES = 10 }; /* struct virtio_net_hdr */

/* in: unless it is a capture, which shows all that passes. */
enum packet_direction packet_direction(const struct spliced_options *options);

/* Ethernet's type field, in network order; ETH_P_ALL: any. */
uint16_t packet_protocol(const struct spliced_options *options);

/* Whether each frame has a struct virtio_net_hdr before it. */
bool packet_has_vnet(const struct spliced_options *options);

/* Compiles the option `filter` for frames of such a link (ARPHRD_*), with direction and snaplen, and attaches it to the socket for
 * good. 0 or negative errno, said. fd -1: only looks whether the words make a filter. */
int packet_attach_filter(int fd, const struct spliced_options *options, unsigned hardware);

/* Whether frames from this interface can go on as they are; -EOPNOTSUPP, with what to do said, where they are unfinished. */
int packet_check_offloads(int fd, const struct spliced_options *options, const char *interface);

/* The pcap link type of frames of such a link. -1: there is none that we know. */
int packet_link_type(int type, unsigned hardware);

/* The callback received(). */
int packet_received(const struct spliced_options *options, const struct msghdr *received, struct spliced_message *message);

/* The formats. */
enum { PACKET_FORMATS = 2 };
extern const struct spliced_format packet_formats[PACKET_FORMATS];
