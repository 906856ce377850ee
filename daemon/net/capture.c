/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A capture is the header, once, and a record for each message. The state is one byte: whether the
 * frame of this moment has been made, because a callback is called again until it makes none.
 */
#include "net/capture.h"

#include "pcap/pcap.h"

#include <string.h>

static struct pcap_source source_of(const struct spliced_consumer *consumer)
{
	return (struct pcap_source){
		.is_pcapng = strcmp(consumer->options->format, "pcapng") == 0,
		.snaplen = PCAP_SNAPLEN_MAX,
		.link_type = (uint16_t)consumer->options->row->link_type,
		.interface = "",
	};
}

/* Whether a frame is to be made now; else it has been. */
static bool begin_frame(const struct spliced_consumer *consumer)
{
	uint8_t *made = consumer->state;
	bool next = !*made;

	*made = 0;
	return next;
}

/* One that does not fit is none. */
static int make(const struct spliced_consumer *consumer, int len)
{
	uint8_t *made = consumer->state;

	*made = len > 0;
	return len;
}

static int preamble(struct spliced_consumer *consumer, void *frame, size_t size)
{
	const struct pcap_source source = source_of(consumer);

	return begin_frame(consumer) ? make(consumer, pcap_header(&source, frame, size)) : 0;
}

static int encode(struct spliced_consumer *consumer, const struct spliced_message *message,
		  void *frame, size_t size)
{
	const struct pcap_source source = source_of(consumer);
	const struct pcap_record record = {
		.time = message->time,
		.wire_len = (uint32_t)(message->wire_len ? message->wire_len : message->len),
		.len = (uint32_t)message->len,
		.data = message->data,
	};

	return begin_frame(consumer) ? make(consumer, pcap_record(&source, &record, frame, size))
				     : 0;
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
