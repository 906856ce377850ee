/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pcap/pcap.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define SECOND UINT64_C(1000000000)

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

static int finish(const struct writer *writer, size_t size)
{
	return writer->full ? -EMSGSIZE : (int)(size - writer->left);
}

/* ---- headers ---- */

static void put_pcap_header(struct writer *writer, const struct pcap_source *source)
{
	put32(writer, 0xa1b23c4d);
	put16(writer, 2);
	put16(writer, 4);
	put32(writer, 0);
	put32(writer, 0);
	put32(writer, source->snaplen);
	put32(writer, source->link_type);
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

static void put_interface(struct writer *writer, const struct pcap_source *source)
{
	size_t len = strlen(source->interface);
	uint32_t name_size = len ? (uint32_t)(4 + ((len + 3) & ~(size_t)3)) : 0;
	uint32_t size = 20 + name_size + 8 + 4;

	put32(writer, 1);
	put32(writer, size);
	put16(writer, source->link_type);
	put16(writer, 0);
	put32(writer, source->snaplen);
	if (len) {
		put16(writer, IF_NAME);
		put16(writer, (uint16_t)len);
		put(writer, source->interface, len);
		pad(writer, len);
	}
	put16(writer, IF_TSRESOL);
	put16(writer, 1);
	put(writer, "\x09\0\0", 4);
	put32(writer, OPTION_END);
	put32(writer, size);
}

int pcap_header(const struct pcap_source *source, void *frame, size_t size)
{
	struct writer writer = {.at = frame, .left = size};

	if (source->is_pcapng) {
		put_section(&writer);
		put_interface(&writer, source);
	} else {
		put_pcap_header(&writer, source);
	}
	return finish(&writer, size);
}

/* ---- records ---- */

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static void put_bytes(struct writer *writer, const struct pcap_record *record)
{
	put(writer, record->before, record->before_len);
	put(writer, record->data, record->len);
}

static void put_pcap(struct writer *writer, const struct pcap_record *record, uint64_t time)
{
	put32(writer, (uint32_t)(time / SECOND));
	put32(writer, (uint32_t)(time % SECOND));
	put32(writer, record->before_len + record->len);
	put32(writer, record->before_len + record->wire_len);
	put_bytes(writer, record);
}

/* An enhanced packet block. */
static void put_pcapng(struct writer *writer, const struct pcap_record *record, uint64_t time)
{
	uint32_t len = record->before_len + record->len, size = 32 + ((len + 3) & ~3u);

	put32(writer, 6);
	put32(writer, size);
	put32(writer, 0);
	put32(writer, (uint32_t)(time >> 32));
	put32(writer, (uint32_t)time);
	put32(writer, len);
	put32(writer, record->before_len + record->wire_len);
	put_bytes(writer, record);
	pad(writer, len);
	put32(writer, size);
}

int pcap_record(const struct pcap_source *source, const struct pcap_record *record, void *frame,
		size_t size)
{
	struct writer writer = {.at = frame, .left = size};
	uint64_t time = record->time ? record->time : now();

	if (source->is_pcapng)
		put_pcapng(&writer, record, time);
	else
		put_pcap(&writer, record, time);
	return finish(&writer, size);
}
