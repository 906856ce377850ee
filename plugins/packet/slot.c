/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring of what is forwarded: TPACKET_V2 of the kernel's packet_mmap. A slot holds one frame,
 * and is ours as soon as the frame is in it. A frame that is larger than a slot is complete in the
 * socket's queue, and its slot is marked. Slots have no numbers: the oldest is the one of ours that
 * follows one of the kernel's.
 */
#include "packet/packet.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

enum { RESERVE_BYTES = 16 /* before a frame, for its tag */, WORD_HEAD = 0, WORD_NEXT = 1 };

#define UNKNOWN UINT64_MAX

int packet_slot_prepare(int fd)
{
	int reserve = RESERVE_BYTES, queue = 1;

	if (setsockopt(fd, SOL_PACKET, PACKET_RESERVE, &reserve, sizeof reserve) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_COPY_THRESH, &queue, sizeof queue) < 0)
		return -errno;
	return 0;
}

static uint64_t count_of(const struct spliced_ring *ring)
{
	return ring->len / PACKET_SLOT_BYTES;
}

static struct tpacket2_hdr *slot_at(const struct spliced_ring *ring, uint64_t index)
{
	return (struct tpacket2_hdr *)((char *)ring->memory + index * PACKET_SLOT_BYTES);
}

/* What the kernel wrote before it gave the slot to us is seen after this. */
static bool is_ours(const struct tpacket2_hdr *slot)
{
	return __atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER;
}

static bool is_older(const struct tpacket2_hdr *one, const struct tpacket2_hdr *other)
{
	return one->tp_sec != other->tp_sec ? one->tp_sec < other->tp_sec
					    : one->tp_nsec < other->tp_nsec;
}

/* The oldest slot of ours; if none follows one of the kernel's, by their times. */
static uint64_t find_head(const struct spliced_ring *ring)
{
	uint64_t oldest = UNKNOWN, count = count_of(ring);

	for (uint64_t i = 0; i < count; i++) {
		if (!is_ours(slot_at(ring, i)))
			continue;
		if (!is_ours(slot_at(ring, (i + count - 1) % count)))
			return i;
		if (oldest == UNKNOWN || is_older(slot_at(ring, i), slot_at(ring, oldest)))
			oldest = i;
	}
	return oldest;
}

void packet_slot_map(struct spliced_ring *ring)
{
	ring->words[WORD_HEAD] = UNKNOWN;
}

/* Only once: then the slot is marked as having no tag. */
static void put_tag(struct tpacket2_hdr *slot, struct spliced_message *message, size_t before)
{
	uint16_t type = slot->tp_status & TP_STATUS_VLAN_TPID_VALID && slot->tp_vlan_tpid
				? slot->tp_vlan_tpid
				: ETH_P_8021Q;
	size_t len = message->len;

	packet_put_tag(message, before, type, slot->tp_vlan_tci);
	slot->tp_status &= ~(uint32_t)TP_STATUS_VLAN_VALID;
	slot->tp_mac = (uint16_t)(slot->tp_mac - (message->len - len));
	slot->tp_snaplen += (uint32_t)(message->len - len);
	slot->tp_len += (uint32_t)(message->len - len);
}

/* Whether the kernel found neither room in the slot for the frame nor in the queue. */
static bool is_cut(const struct tpacket2_hdr *slot, const struct spliced_options *options)
{
	int64_t wanted = spliced_value(options, PACKET_OPTION_SNAPLEN)->number;

	return slot->tp_snaplen < slot->tp_len && !(wanted > 0 && slot->tp_snaplen >= wanted);
}

int packet_slot_next(struct spliced_ring *ring, const struct spliced_options *options,
		     struct spliced_message *message)
{
	size_t before = packet_has_vnet(options) ? PACKET_VNET_BYTES : 0;
	struct tpacket2_hdr *slot;

	if (ring->words[WORD_HEAD] == UNKNOWN) {
		ring->words[WORD_HEAD] = ring->words[WORD_NEXT] = find_head(ring);
		if (ring->words[WORD_HEAD] == UNKNOWN)
			return 0;
	}
	slot = slot_at(ring, ring->words[WORD_NEXT]);
	if (!is_ours(slot))
		return 0;
	if (slot->tp_status & TP_STATUS_COPY)
		return -EMSGSIZE;
	if (is_cut(slot, options))
		return -ENOBUFS;
	message->data = (const char *)slot + slot->tp_mac - before;
	message->len = slot->tp_snaplen + before;
	message->wire_len = slot->tp_len + before;
	message->from = (const struct sockaddr *)((const char *)slot + TPACKET_ALIGN(sizeof *slot));
	message->from_len = sizeof(struct sockaddr_ll);
	if (slot->tp_status & TP_STATUS_VLAN_VALID && options->row->type == SOCK_RAW &&
	    spliced_value(options, PACKET_OPTION_VLAN)->number)
		put_tag(slot, message, before);
	ring->words[WORD_NEXT] = (ring->words[WORD_NEXT] + 1) % count_of(ring);
	return 1;
}

void packet_slot_consume(struct spliced_ring *ring, unsigned count)
{
	uint64_t head = ring->words[WORD_HEAD];

	if (head == UNKNOWN)
		return;
	for (; count; count--) {
		__atomic_store_n(&slot_at(ring, head)->tp_status, TP_STATUS_KERNEL,
				 __ATOMIC_RELEASE);
		head = (head + 1) % count_of(ring);
	}
	ring->words[WORD_HEAD] = ring->words[WORD_NEXT] = head;
}
