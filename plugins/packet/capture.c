/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The formats pcap and pcapng: each consumer gets a header of its own, whenever it comes, and then
 * a record a frame. A listener whose interface does not exist yet has no link type: its header is
 * sent with its first frame.
 */
#include "packet/packet.h"
#include "pcap/pcap.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <string.h>

enum {
	LINK_ETHERNET = 1,
	LINK_RAW = 101,
	LINK_SLL2 = 276,
	SLL2_BYTES = 20,
	ADDRESSES = 2 * ETH_ALEN
};

/* Of a consumer. */
struct state {
	uint8_t greeted; /* the header was sent */
	uint8_t said;	 /* this message's record was made */
};

int packet_link_type(int type, unsigned hardware)
{
	if (type == SOCK_DGRAM)
		return LINK_SLL2;
	switch (hardware) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		return LINK_ETHERNET;
	case ARPHRD_NONE:
	case ARPHRD_PPP:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_IPGRE:
		return LINK_RAW;
	}
	return -1;
}

static struct pcap_source source_of(const struct spliced_options *options, int link)
{
	int64_t bytes = spliced_value(options, PACKET_OPTION_SNAPLEN)->number;

	return (struct pcap_source){
		.is_pcapng = !strcmp(options->format, "pcapng"),
		.snaplen =
			bytes > 0 && bytes < PCAP_SNAPLEN_MAX ? (uint32_t)bytes : PCAP_SNAPLEN_MAX,
		.link_type = (uint16_t)link,
		.interface = spliced_value(options, PACKET_OPTION_INTERFACE)->text,
	};
}

/* Of the link that the socket is bound to. -ENODEV: none yet. */
static int find_link(const struct spliced_consumer *consumer)
{
	struct sockaddr_ll own = {0};
	socklen_t len = sizeof own;
	int link;

	if (consumer->options->row->type == SOCK_DGRAM)
		return LINK_SLL2;
	if (getsockname(consumer->fd, (struct sockaddr *)&own, &len) < 0 || own.sll_ifindex <= 0)
		return -ENODEV;
	link = packet_link_type(SOCK_RAW, own.sll_hatype);
	return link < 0 ? -ENODEV : link;
}

/* 0: there is no link yet. */
static int greet(const struct spliced_consumer *consumer, struct state *state, void *frame,
		 size_t size)
{
	int link = state->greeted ? -EALREADY : find_link(consumer);
	struct pcap_source source;

	if (link < 0)
		return 0;
	state->greeted = 1;
	source = source_of(consumer->options, link);
	return pcap_header(&source, frame, size);
}

/* LINKTYPE_LINUX_SLL2: what a cooked socket reports beside the frame. */
static void cook(const struct spliced_message *message, struct pcap_record *record)
{
	struct sockaddr_ll from = {0};
	uint32_t index;
	uint16_t hardware;

	memcpy(&from, message->from,
	       message->from_len < sizeof from ? message->from_len : sizeof from);
	index = htonl((uint32_t)from.sll_ifindex);
	hardware = htons(from.sll_hatype);
	memcpy(record->before, &from.sll_protocol, 2);
	memcpy(record->before + 4, &index, 4);
	memcpy(record->before + 8, &hardware, 2);
	record->before[10] = from.sll_pkttype;
	record->before[11] = from.sll_halen;
	memcpy(record->before + 12, from.sll_addr, 8);
	record->before_len = SLL2_BYTES;
}

/* A tag that the kernel took out goes back behind the addresses. */
static void put_tag(const struct spliced_message *message, struct pcap_record *record)
{
	uint16_t type = htons((uint16_t)(message->note >> 16)),
		 rest = htons((uint16_t)message->note);

	if (message->len < ADDRESSES)
		return;
	memcpy(record->before, message->data, ADDRESSES);
	memcpy(record->before + ADDRESSES, &type, sizeof type);
	memcpy(record->before + ADDRESSES + sizeof type, &rest, sizeof rest);
	record->before_len = ADDRESSES + sizeof type + sizeof rest;
	record->data = (const char *)message->data + ADDRESSES;
	record->len -= ADDRESSES;
	record->wire_len -= ADDRESSES;
}

static int capture_preamble(struct spliced_consumer *consumer, void *frame, size_t size)
{
	return greet(consumer, consumer->state, frame, size);
}

static int capture_encode(struct spliced_consumer *consumer, const struct spliced_message *message,
			  void *frame, size_t size)
{
	struct pcap_source source = source_of(consumer->options, 0);
	struct pcap_record record = {
		.time = message->time,
		.data = message->data,
		.len = (uint32_t)message->len,
		.wire_len = (uint32_t)(message->wire_len ? message->wire_len : message->len)};
	struct state *state = consumer->state;
	int n;

	if (!state->greeted) {
		n = greet(consumer, state, frame, size);
		return n ? n : -ENODEV;
	}
	if (state->said) {
		state->said = 0;
		return 0;
	}
	if (consumer->options->row->type == SOCK_DGRAM)
		cook(message, &record);
	else if (message->note & PACKET_NOTE_TAG)
		put_tag(message, &record);
	n = pcap_record(&source, &record, frame, size);
	state->said = n > 0;
	return n;
}

const struct spliced_format packet_formats[PACKET_FORMATS] = {
	{
		.name = "pcap",
		.doc = "Capture for tcpdump(1) and Wireshark; times in nanoseconds",
		.framing = SPLICED_FRAMING_NONE,
		.state_size = sizeof(struct state),
		.preamble = capture_preamble,
		.encode = capture_encode,
	},
	{
		.name = "pcapng",
		.doc = "Capture in the newer format, which names the interface",
		.framing = SPLICED_FRAMING_NONE,
		.state_size = sizeof(struct state),
		.preamble = capture_preamble,
		.encode = capture_encode,
	},
};
