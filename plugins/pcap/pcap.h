/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Captures, for the daemon and for families whose messages lack a header of their link type: the
 * formats pcap and pcapng, draft-ietf-opsawg-pcap
 * and draft-ietf-opsawg-pcapng. Times in nanoseconds; numbers in this machine's order, as the
 * formats allow.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PCAP_SNAPLEN_MAX = 262144, PCAP_BEFORE_MAX = 20 };

/* The header of a capture. */
struct pcap_source {
	bool is_pcapng;
	uint32_t snaplen;      /* bytes */
	uint16_t link_type;    /* tcpdump.org/linktypes.html */
	const char *interface; /* NUL-terminated, "": not known; only in pcapng */
};

struct pcap_record {
	uint64_t time;	   /* CLOCK_REALTIME ns; 0: now */
	uint32_t wire_len; /* bytes, without `before` */
	uint32_t len;	   /* bytes of data */
	const void *data;
	uint32_t before_len; /* bytes of a header that the link type has and the kernel's message
				has not */
	uint8_t before[PCAP_BEFORE_MAX];
};

/* Write the header that comes first, or a record, into frame. Return its length, or -EMSGSIZE. */
int pcap_header(const struct pcap_source *source, void *frame, size_t size);
int pcap_record(const struct pcap_source *source, const struct pcap_record *record, void *frame,
		size_t size);
