/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The format pcap, with the link type NETLINK: 16 bytes as of a cooked capture, which name the
 * protocol, then the message as it came. */
#include "netlink/netlink.h"
#include "pcap/pcap.h"

#include <linux/if_arp.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

enum { FROM_KERNEL = 7, /* PACKET_KERNEL, as nlmon writes it */ HEADER_BYTES = 16 };

static const struct pcap_source source = {.snaplen = PCAP_SNAPLEN_MAX,
					  .link_type = NETLINK_LINK_TYPE};

enum { NOTE_HAS_NSID = 1 }; /* beside the number itself, in the upper half */

void netlink_read_control(const struct msghdr *received, struct spliced_message *message)
{
	struct msghdr *header = (struct msghdr *)(uintptr_t)received;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
		struct timespec time;
		uint32_t nsid;

		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_TIMESTAMPNS &&
		    cmsg->cmsg_len >= CMSG_LEN(sizeof time)) {
			memcpy(&time, CMSG_DATA(cmsg), sizeof time);
			message->time = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
		} else if (cmsg->cmsg_level == SOL_NETLINK &&
			   cmsg->cmsg_type == NETLINK_LISTEN_ALL_NSID &&
			   cmsg->cmsg_len >= CMSG_LEN(sizeof nsid)) {
			memcpy(&nsid, CMSG_DATA(cmsg), sizeof nsid);
			message->note = (uint64_t)nsid << 32 | NOTE_HAS_NSID;
		}
	}
}

int32_t netlink_nsid(const struct spliced_message *message)
{
	return message->note & NOTE_HAS_NSID ? (int32_t)(message->note >> 32) : -1;
}

static void put16(uint8_t *bytes, uint16_t number)
{
	bytes[0] = (uint8_t)(number >> 8);
	bytes[1] = (uint8_t)number;
}

int netlink_capture_preamble(struct spliced_consumer *consumer, void *frame, size_t size)
{
	uint8_t *said = consumer->state;

	*said = !*said;
	return *said ? pcap_header(&source, frame, size) : 0;
}

int netlink_capture_encode(struct spliced_consumer *consumer, const struct spliced_message *message,
			   void *frame, size_t size)
{
	struct pcap_record record = {.time = message->time,
				     .data = message->data,
				     .len = (uint32_t)message->len,
				     .wire_len = (uint32_t)message->len,
				     .before_len = HEADER_BYTES};
	uint8_t *said = consumer->state;
	int n;

	if (*said) {
		*said = 0;
		return 0;
	}
	put16(record.before, FROM_KERNEL);
	put16(record.before + 2, ARPHRD_NETLINK);
	put16(record.before + 14, (uint16_t)consumer->options->row->protocol);
	n = pcap_record(&source, &record, frame, size);
	*said = n > 0;
	return n;
}
