/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Traffic between host and adapter, as captures: of one adapter (hci), or of all of them with the
 * kernel's own events (monitor). Link types 201 and 254 of tcpdump.org/linktypes.html.
 */
#include "bluetooth/bluetooth.h"
#include "pcap/pcap.h"

#include <bluetooth/hci.h>
#include <bluetooth/hci_lib.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { LINK_H4_WITH_DIRECTION = 201, LINK_MONITOR = 254, MONITOR_HEADER = 6 };

#define SECOND UINT64_C(1000000000)

static bool is_monitor(const struct spliced_options *options)
{
	return bluetooth_row(options) == BLUETOOTH_MONITOR;
}

int bluetooth_prepare_capture(int fd, const struct spliced_options *options)
{
	struct hci_filter filter;
	int one = 1;

	if (is_monitor(options)) {
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
		return 0;
	}
	hci_filter_clear(&filter);
	hci_filter_all_ptypes(&filter);
	hci_filter_all_events(&filter);
	if (setsockopt(fd, SOL_HCI, HCI_FILTER, &filter, sizeof filter) < 0 ||
	    setsockopt(fd, SOL_HCI, HCI_DATA_DIR, &one, sizeof one) < 0 ||
	    setsockopt(fd, SOL_HCI, HCI_TIME_STAMP, &one, sizeof one) < 0)
		return -errno;
	return 0;
}

/* Of hci the direction is the message's note: 1 came from the adapter. */
int bluetooth_received(const struct spliced_options *options, const struct msghdr *received,
		       struct spliced_message *message)
{
	struct msghdr *header = (struct msghdr *)(uintptr_t)received;

	(void)options;
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
		struct timespec time;
		struct timeval stamp;
		int direction;

		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_TIMESTAMPNS &&
		    cmsg->cmsg_len >= CMSG_LEN(sizeof time)) {
			memcpy(&time, CMSG_DATA(cmsg), sizeof time);
			message->time = (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
		} else if (cmsg->cmsg_level == SOL_HCI && cmsg->cmsg_type == HCI_CMSG_TSTAMP &&
			   cmsg->cmsg_len >= CMSG_LEN(sizeof stamp)) {
			memcpy(&stamp, CMSG_DATA(cmsg), sizeof stamp);
			message->time =
				(uint64_t)stamp.tv_sec * SECOND + (uint64_t)stamp.tv_usec * 1000;
		} else if (cmsg->cmsg_level == SOL_HCI && cmsg->cmsg_type == HCI_CMSG_DIR &&
			   cmsg->cmsg_len >= CMSG_LEN(sizeof direction)) {
			memcpy(&direction, CMSG_DATA(cmsg), sizeof direction);
			message->note = (uint64_t)(direction != 0);
		}
	}
	return 0;
}

int bluetooth_check(int fd, const struct spliced_options *options, uint64_t *lost)
{
	struct hci_dev_info info = {
		.dev_id = (uint16_t)bluetooth_adapter_number(
			spliced_value(options, BLUETOOTH_OPTION_ADDRESS)->text)};
	struct sockaddr_storage address;
	socklen_t len;
	int r = bluetooth_address(options, &address, &len);

	(void)lost;
	if (r < 0)
		return r;
	/* If the socket is bound, bind(2) fails with EALREADY; one whose adapter was taken away may
	 * be bound again. */
	if (bind(fd, (struct sockaddr *)&address, len) < 0 && errno != EALREADY)
		return -errno;
	if (is_monitor(options))
		return 0;
	if (ioctl(fd, HCIGETDEVINFO, &info) < 0)
		return -errno;
	return info.flags & 1u << HCI_UP ? 0 : -ENETDOWN;
}

/* ---- the format ---- */

static struct pcap_source source_of(const struct spliced_options *options)
{
	return (struct pcap_source){.snaplen = PCAP_SNAPLEN_MAX,
				    .link_type = is_monitor(options) ? LINK_MONITOR
								     : LINK_H4_WITH_DIRECTION};
}

/* The state is one byte: whether this moment's frame was made. */
static int capture_preamble(struct spliced_consumer *consumer, void *frame, size_t size)
{
	struct pcap_source source = source_of(consumer->options);
	uint8_t *said = consumer->state;

	*said = !*said;
	return *said ? pcap_header(&source, frame, size) : 0;
}

/* Opcode and index change places, and the length goes. */
static bool put_monitor(struct pcap_record *record)
{
	uint8_t bytes[MONITOR_HEADER];

	if (record->len < sizeof bytes)
		return false;
	memcpy(bytes, record->data, sizeof bytes);
	record->before[0] = bytes[3];
	record->before[1] = bytes[2];
	record->before[2] = bytes[1];
	record->before[3] = bytes[0];
	record->before_len = 4;
	record->data = (const char *)record->data + sizeof bytes;
	record->len -= (uint32_t)sizeof bytes;
	record->wire_len -= (uint32_t)sizeof bytes;
	return true;
}

static int capture_encode(struct spliced_consumer *consumer, const struct spliced_message *message,
			  void *frame, size_t size)
{
	struct pcap_source source = source_of(consumer->options);
	struct pcap_record record = {.time = message->time,
				     .data = message->data,
				     .len = (uint32_t)message->len,
				     .wire_len = (uint32_t)message->len};
	uint8_t *said = consumer->state;
	int n;

	if (*said) {
		*said = 0;
		return 0;
	}
	if (!is_monitor(consumer->options)) {
		record.before[3] = (uint8_t)message->note;
		record.before_len = 4;
	} else if (!put_monitor(&record)) {
		return -EBADMSG;
	}
	n = pcap_record(&source, &record, frame, size);
	*said = n > 0;
	return n;
}

const struct spliced_format bluetooth_formats[BLUETOOTH_FORMATS] = {
	{
		.name = "pcap",
		.doc = "Capture for Wireshark",
		.rows = UINT64_C(1) << BLUETOOTH_HCI | UINT64_C(1) << BLUETOOTH_MONITOR,
		.framing = SPLICED_FRAMING_NONE,
		.state_size = 1,
		.preamble = capture_preamble,
		.encode = capture_encode,
	},
};
