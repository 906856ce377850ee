/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libFuzzer's way into what packet does with a frame: any bytes as the frame, as what the kernel
 * tells beside it, and as whoever sent it. The first byte picks type, format, header and tag. A
 * message stays within its room, and is mended to what it should be; a record holds just that; and
 * the making of records ends.
 */
#include "packet/packet.h"

#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum {
	FRAME_MAX = 64 << 10,
	RAW = 1,
	HEADER = 2,
	TAG = 4,
	NG = 8,
	TAG_BYTES = 4,
	PCAP_RECORD = 16,
	SLL2 = 20
};

static struct spliced_value values[PACKET_OPTIONS];
static struct spliced_row row = {.link_type = 1};
static struct spliced_options options = {.size = sizeof options,
					 .value_stride = sizeof values[0],
					 .row = &row,
					 .role = SPLICED_CONNECT,
					 .n_values = PACKET_OPTIONS,
					 .values = values};

static void must(int condition)
{
	if (!condition)
		abort();
}

static void set_up(uint8_t how)
{
	memset(values, 0, sizeof values);
	row.type = how & RAW ? SOCK_RAW : SOCK_DGRAM;
	values[PACKET_OPTION_INTERFACE] =
		(struct spliced_value){.state = SPLICED_SET, .text = "lo"};
	values[PACKET_OPTION_VNET_HEADER] =
		(struct spliced_value){.state = SPLICED_SET, .number = !!(how & HEADER)};
	values[PACKET_OPTION_VLAN].number = !!(how & TAG);
}

/* What the kernel would tell beside the frame; its room is just that. */
static size_t mend(uint8_t how, const uint8_t *aux, uint8_t *room, struct spliced_message *message)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} control = {0};
	struct cmsghdr header = {.cmsg_len = CMSG_LEN(sizeof(struct tpacket_auxdata)),
				 .cmsg_level = SOL_PACKET,
				 .cmsg_type = PACKET_AUXDATA};
	struct msghdr received = {.msg_control = &control, .msg_controllen = sizeof control};
	size_t before = message->len;
	struct tpacket_auxdata told;

	memcpy(&told, aux, sizeof told);
	memcpy(control.bytes, &header, sizeof header);
	memcpy(CMSG_DATA(&control.align), &told, sizeof told);
	must(packet_received(&options, &received, message) == 0);
	must((const uint8_t *)message->data >= room);
	must((const uint8_t *)message->data + message->len == room + SPLICED_HEADROOM + before);
	if (!(how & RAW) || !(how & TAG) || !(told.tp_status & TP_STATUS_VLAN_VALID))
		must(message->len == before);
	return message->len - before;
}

static void record(uint8_t how, const struct spliced_message *message)
{
	static _Alignas(8) unsigned char state[SPLICED_STATE_MAX];
	static char frame[FRAME_MAX];
	const struct spliced_format *format = &packet_formats[how & NG ? 1 : 0];
	struct spliced_consumer consumer = {
		.size = sizeof consumer, .fd = -1, .options = &options, .state = state};
	size_t whole = message->len + (how & RAW ? 0 : SLL2);
	int n;

	memset(state, 0, sizeof state);
	options.format = format->name;
	state[0] = 1; /* greeted */
	n = format->encode(&consumer, message, frame, sizeof frame);
	if (whole + 64 < sizeof frame)
		must(n == (int)(how & NG ? 32 + ((whole + 3) & ~(size_t)3) : PCAP_RECORD + whole));
	if (n > 0) {
		must((size_t)n <= sizeof frame);
		must(!memcmp(frame + (how & NG ? 28 : PCAP_RECORD) + (how & RAW ? 0 : SLL2),
			     message->data, message->len));
		must(format->encode(&consumer, message, frame, sizeof frame) == 0);
	}
	options.format = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const size_t head = 1 + sizeof(struct tpacket_auxdata) + sizeof(struct sockaddr_ll);
	struct spliced_message message = {.size = sizeof message};
	uint8_t *room;
	uint8_t how;

	if (len < head)
		return 0;
	how = bytes[0];
	set_up(how);
	/* Not a byte more than there is, so that the sanitizer sees what goes beyond. */
	room = malloc(SPLICED_HEADROOM + len - head);
	memcpy(room + SPLICED_HEADROOM, bytes + head, len - head);
	message.data = room + SPLICED_HEADROOM;
	message.len = len - head;
	message.from = (const struct sockaddr *)(bytes + 1 + sizeof(struct tpacket_auxdata));
	message.from_len = sizeof(struct sockaddr_ll);
	mend(how, bytes + 1, room, &message);
	record(how, &message);
	free(room);
	return 0;
}
