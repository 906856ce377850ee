/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The formats pcap and pcapng, draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng: each consumer gets a header of its own, whenever it
 * comes, and then a record a frame, with times in nanoseconds. Numbers are in this machine's order, as the formats allow.
 */
#include "packet.h"

#include <errno.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

enum { SNAPLEN_MAX = 262144, LINK_ETHERNET = 1, LINK_RAW = 101, LINK_SLL2 = 276, SLL2_BYTES = 20 };

/* Of a consumer. */
struct state {
	uint8_t greeted; /* the header was sent */
	uint8_t said;    /* this message's record was made */
};

/* What is written of one frame. */
struct record {
	uint64_t time;
	uint32_t wire_len, len;
	uint32_t cooked_len; /* bytes of `cooked`, which come first */
	uint8_t cooked[SLL2_BYTES];
	const void *data;
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

/* ---- bytes ---- */

struct writer {
	uint8_t *at;
	size_t left;
	bool full;
};

static void put(struct writer *writer, const void *bytes, size_t len)
{
	if (writer->full || len > writer->left) {
		writer->full = true;
		return;
	}
	if (len)
		memcpy(writer->at, bytes, len);
	writer->at += len;
	writer->left -= len;
}

static void put16(struct writer *writer, uint16_t number)
{
	put(writer, &number, sizeof number);
}

static void put32(struct writer *writer, uint32_t number)
{
	put(writer, &number, sizeof number);
}

static void pad(struct writer *writer, size_t len)
{
	put(writer, "\0\0\0", -len & 3);
}

/* ---- headers ---- */

static uint32_t snaplen(const struct spliced_options *options)
{
	int64_t bytes = spliced_value(options, PACKET_OPTION_SNAPLEN)->number;

	return bytes > 0 && bytes < SNAPLEN_MAX ? (uint32_t)bytes : SNAPLEN_MAX;
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

static void put_pcap_header(struct writer *writer, const struct spliced_options *options, int link)
{
	put32(writer, 0xa1b23c4d);
	put16(writer, 2);
	put16(writer, 4);
	put32(writer, 0);
	put32(writer, 0);
	put32(writer, snaplen(options));
	put32(writer, (uint32_t)link);
}

static void put_section(struct writer *writer)
{
	put32(writer, 0x0a0d0d0a);
	put32(writer, 28);
	put32(writer, 0x1a2b3c4d);
	put16(writer, 1);
	put16(writer, 0);
	put32(writer, UINT32_MAX); /* how long the section is: not known */
	put32(writer, UINT32_MAX);
	put32(writer, 28);
}

enum { OPTION_END, IF_NAME = 2, IF_TSRESOL = 9 };

static void put_interface(struct writer *writer, const struct spliced_options *options, int link)
{
	const char *name = spliced_value(options, PACKET_OPTION_INTERFACE)->text;
	size_t len = strlen(name);
	uint32_t size = (uint32_t)(20 + 4 + ((len + 3) & ~(size_t)3) + 8 + 4);

	put32(writer, 1);
	put32(writer, size);
	put16(writer, (uint16_t)link);
	put16(writer, 0);
	put32(writer, snaplen(options));
	put16(writer, IF_NAME);
	put16(writer, (uint16_t)len);
	put(writer, name, len);
	pad(writer, len);
	put16(writer, IF_TSRESOL);
	put16(writer, 1);
	put(writer, "\x09\0\0", 4);
	put32(writer, OPTION_END);
	put32(writer, size);
}

static bool is_pcapng(const struct spliced_options *options)
{
	return !strcmp(options->format, "pcapng");
}

static int finish(const struct writer *writer, size_t size)
{
	return writer->full ? -EMSGSIZE : (int)(size - writer->left);
}

/* 0: there is no link yet whose frames could be told of. */
static int greet(const struct spliced_consumer *consumer, struct state *state, void *frame, size_t size)
{
	struct writer writer = {.at = frame, .left = size};
	int link = state->greeted ? -EALREADY : find_link(consumer);

	if (link < 0)
		return 0;
	state->greeted = 1;
	if (is_pcapng(consumer->options)) {
		put_section(&writer);
		put_interface(&writer, consumer->options, link);
	} else {
		put_pcap_header(&writer, consumer->options, link);
	}
	return finish(&writer, size);
}

/* ---- records ---- */

/* LINKTYPE_LINUX_SLL2: what a cooked socket tells beside the frame. */
static void cook(const struct spliced_message *message, struct record *record)
{
	struct sockaddr_ll from = {0};
	uint32_t index;
	uint16_t hardware;

	memcpy(&from, message->from, message->from_len < sizeof from ? message->from_len : sizeof from);
	index = htonl((uint32_t)from.sll_ifindex);
	hardware = htons(from.sll_hatype);
	memcpy(record->cooked, &from.sll_protocol, 2);
	memcpy(record->cooked + 4, &index, 4);
	memcpy(record->cooked + 8, &hardware, 2);
	record->cooked[10] = from.sll_pkttype;
	record->cooked[11] = from.sll_halen;
	memcpy(record->cooked + 12, from.sll_addr, 8);
	record->cooked_len = SLL2_BYTES;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void fill(const struct spliced_options *options, const struct spliced_message *message, struct record *record)
{
	size_t wire_len = message->wire_len ? message->wire_len : message->len;

	*record = (struct record){.time = message->time ? message->time : now(), .data = message->data,
				  .len = (uint32_t)message->len};
	if (options->row->type == SOCK_DGRAM)
		cook(message, record);
	record->len += record->cooked_len;
	record->wire_len = (uint32_t)wire_len + record->cooked_len;
}

static void put_bytes(struct writer *writer, const struct record *record)
{
	put(writer, record->cooked, record->cooked_len);
	put(writer, record->data, record->len - record->cooked_len);
}

static void put_pcap(struct writer *writer, const struct record *record)
{
	put32(writer, (uint32_t)(record->time / 1000000000));
	put32(writer, (uint32_t)(record->time % 1000000000));
	put32(writer, record->len);
	put32(writer, record->wire_len);
	put_bytes(writer, record);
}

/* An enhanced packet block. */
static void put_pcapng(struct writer *writer, const struct record *record)
{
	uint32_t size = 32 + ((record->len + 3) & ~3u);

	put32(writer, 6);
	put32(writer, size);
	put32(writer, 0);
	put32(writer, (uint32_t)(record->time >> 32));
	put32(writer, (uint32_t)record->time);
	put32(writer, record->len);
	put32(writer, record->wire_len);
	put_bytes(writer, record);
	pad(writer, record->len);
	put32(writer, size);
}

static int capture_preamble(struct spliced_consumer *consumer, void *frame, size_t size)
{
	return greet(consumer, consumer->state, frame, size);
}

static int capture_encode(struct spliced_consumer *consumer, const struct spliced_message *message, void *frame, size_t size)
{
	struct writer writer = {.at = frame, .left = size};
	struct state *state = consumer->state;
	struct record record;
	int n;

	if (!state->greeted) {
		n = greet(consumer, state, frame, size);
		return n ? n : -ENODEV;
	}
	state->said = !state->said;
	if (!state->said)
		return 0;
	fill(consumer->options, message, &record);
	if (is_pcapng(consumer->options))
		put_pcapng(&writer, &record);
	else
		put_pcap(&writer, &record);
	n = finish(&writer, size);
	if (n < 0)
		state->said = 0;
	return n;
}

const struct spliced_format packet_formats[PACKET_FORMATS] = {
	{
		.name = "pcap",
		.doc = "A capture, as tcpdump(1) writes and Wireshark reads it; times in nanoseconds",
		.framing = SPLICED_FRAMING_NONE,
		.state_size = sizeof(struct state),
		.preamble = capture_preamble,
		.encode = capture_encode,
	},
	{
		.name = "pcapng",
		.doc = "The same in the newer format, which names the interface",
		.framing = SPLICED_FRAMING_NONE,
		.state_size = sizeof(struct state),
		.preamble = capture_preamble,
		.encode = capture_encode,
	},
};

