/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A capture is the header, once, and a record for each message. Numbers are in this machine's
 * order, as both formats allow, times in nanoseconds. The state is one byte: whether the frame of
 * this moment has been made, because a callback is called again until it makes none.
 */
#include "net/capture.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { SNAPLEN = 262144 };

struct pcap_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snaplen, link_type;
};

struct pcap_record {
	uint32_t seconds, nanoseconds, len, wire_len;
};

/* A section header block, and an interface description block with the resolution of times. */
struct pcapng_header {
	uint32_t type, size, order;
	uint16_t major, minor;
	uint32_t length[2], size_again;
	uint32_t interface_type, interface_size;
	uint16_t link_type, reserved;
	uint32_t snaplen;
	uint16_t option, option_len;
	uint8_t resolution[4];
	uint32_t end, interface_size_again;
};

/* An enhanced packet block, before the bytes, which are padded to 4 and followed by the size. */
struct pcapng_record {
	uint32_t type, size, interface, time_high, time_low, len, wire_len;
};

static bool is_pcapng(const struct spliced_consumer *consumer)
{
	return strcmp(consumer->options->format, "pcapng") == 0;
}

static int put_header(const struct spliced_consumer *consumer, void *frame)
{
	uint32_t link_type = consumer->options->row->link_type;
	const struct pcap_header pcap = {.magic = 0xa1b23c4d,
					 .major = 2,
					 .minor = 4,
					 .snaplen = SNAPLEN,
					 .link_type = link_type};
	const struct pcapng_header pcapng = {
		.type = 0x0a0d0d0a,
		.size = offsetof(struct pcapng_header, interface_type),
		.order = 0x1a2b3c4d,
		.major = 1,
		.length = {UINT32_MAX, UINT32_MAX},
		.size_again = offsetof(struct pcapng_header, interface_type),
		.interface_type = 1,
		.interface_size = sizeof pcapng - offsetof(struct pcapng_header, interface_type),
		.link_type = (uint16_t)link_type,
		.snaplen = SNAPLEN,
		.option = 9, /* if_tsresol */
		.option_len = 1,
		.resolution = {9},
		.interface_size_again =
			sizeof pcapng - offsetof(struct pcapng_header, interface_type)};

	if (is_pcapng(consumer))
		memcpy(frame, &pcapng, sizeof pcapng);
	else
		memcpy(frame, &pcap, sizeof pcap);
	return is_pcapng(consumer) ? sizeof pcapng : sizeof pcap;
}

static int preamble(struct spliced_consumer *consumer, void *frame, size_t size)
{
	uint8_t *made = consumer->state;

	if (size < sizeof(struct pcapng_header))
		return -EMSGSIZE;
	*made = !*made;
	return *made ? put_header(consumer, frame) : 0;
}

static uint64_t time_of(const struct spliced_message *message)
{
	struct timespec now;

	if (message->time)
		return message->time;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static int put_pcap(const struct spliced_message *message, uint32_t wire_len, uint8_t *frame)
{
	uint64_t time = time_of(message);
	const struct pcap_record record = {(uint32_t)(time / NSEC_PER_SEC),
					   (uint32_t)(time % NSEC_PER_SEC), (uint32_t)message->len,
					   wire_len};

	memcpy(frame, &record, sizeof record);
	if (message->len)
		memcpy(frame + sizeof record, message->data, message->len);
	return (int)(sizeof record + message->len);
}

static int put_pcapng(const struct spliced_message *message, uint32_t wire_len, uint8_t *frame)
{
	uint64_t time = time_of(message);
	size_t padded = (message->len + 3) & ~(size_t)3;
	const struct pcapng_record record = {
		.type = 6,
		.size = (uint32_t)(sizeof record + padded + sizeof record.size),
		.time_high = (uint32_t)(time >> 32),
		.time_low = (uint32_t)time,
		.len = (uint32_t)message->len,
		.wire_len = wire_len};

	memcpy(frame, &record, sizeof record);
	memset(frame + sizeof record, 0, padded);
	if (message->len)
		memcpy(frame + sizeof record, message->data, message->len);
	memcpy(frame + sizeof record + padded, &record.size, sizeof record.size);
	return (int)record.size;
}

static int encode(struct spliced_consumer *consumer, const struct spliced_message *message,
		  void *frame, size_t size)
{
	uint32_t wire_len = (uint32_t)(message->wire_len ? message->wire_len : message->len);
	uint8_t *made = consumer->state;

	if (size < sizeof(struct pcapng_record) + 3 + sizeof(uint32_t) ||
	    message->len > size - sizeof(struct pcapng_record) - 3 - sizeof(uint32_t))
		return -EMSGSIZE;
	*made = !*made;
	if (!*made)
		return 0;
	return is_pcapng(consumer) ? put_pcapng(message, wire_len, frame)
				   : put_pcap(message, wire_len, frame);
}

void capture_formats(uint64_t rows, struct spliced_format formats[CAPTURE_FORMATS])
{
	static const char *const names[CAPTURE_FORMATS] = {"pcap", "pcapng"};

	for (unsigned i = 0; i < CAPTURE_FORMATS; i++)
		formats[i] = (struct spliced_format){.name = names[i],
						     .doc = "Capture for Wireshark",
						     .rows = rows,
						     .framing = SPLICED_FRAMING_NONE,
						     .state_size = 1,
						     .preamble = preamble,
						     .encode = encode};
}

bool capture_is_format(const struct spliced_format *format)
{
	return format->encode == encode;
}
