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
	PACKET_OPTION_RING,
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

/* Compiles the option `filter` for frames of such a link (ARPHRD_*), with direction and snaplen,
 * and attaches it to the socket for good. 0 or negative errno, reported. fd -1: only checks the
 * filter's syntax. */
int packet_attach_filter(int fd, const struct spliced_options *options, unsigned hardware);

/* Whether frames from this interface can be forwarded as they are; -EOPNOTSUPP, with the remedy
 * reported, if they are unfinished. */
int packet_check_offloads(int fd, const struct spliced_options *options, const char *interface);

/* The pcap link type of frames of such a link. -1: there is none that we know. */
int packet_link_type(int type, unsigned hardware);

/* The callback received(). */
int packet_received(const struct spliced_options *options, const struct msghdr *received,
		    struct spliced_message *message);

/* The note of a frame from a ring, whose tag is still to be put back: its type above, the rest
 * below. */
#define PACKET_NOTE_TAG (UINT64_C(1) << 32)

/* Requests the ring from the kernel, unless the socket has it. 0 or negative errno, reported. */
int packet_ring_prepare(int fd, const struct spliced_options *options);

/* The callbacks map(), next() and consume(). */
int packet_ring_map(int fd, const struct spliced_options *options, struct spliced_ring *ring);
int packet_ring_next(struct spliced_ring *ring, const struct spliced_options *options,
		     struct spliced_message *message);
void packet_ring_consume(struct spliced_ring *ring, const struct spliced_options *options,
			 unsigned count);

/* The same of a ring of slots, for what is forwarded. */
enum { PACKET_SLOT_BYTES = 2048 };
int packet_slot_prepare(int fd);
void packet_slot_map(struct spliced_ring *ring);
int packet_slot_next(struct spliced_ring *ring, const struct spliced_options *options,
		     struct spliced_message *message);
void packet_slot_consume(struct spliced_ring *ring, unsigned count);

/* Puts a VLAN tag, of that Ethernet type, back into a frame that has `before` bytes of another
 * header: it begins 4 bytes earlier. */
void packet_put_tag(struct spliced_message *message, size_t before, uint16_t type, uint16_t tci);

/* The formats. */
enum { PACKET_FORMATS = 2 };
extern const struct spliced_format packet_formats[PACKET_FORMATS];
