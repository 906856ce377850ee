/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rings: memory that the kernel writes frames to and we read them from, hundreds without a system
 * call; what cannot be forwarded waits there.
 *
 * A capture's is TPACKET_V3 of the kernel's packet_mmap: blocks that are filled one after the
 * other, and given to us when they are full or some milliseconds old. Blocks are numbered: the
 * lowest of those that are ours is the oldest. The read position is in the block's private area,
 * beside its number, so that the next worker to map the ring continues there: the kernel does not
 * touch that area when it refills a block.
 *
 * What is forwarded must not wait: its ring, TPACKET_V2, is in packet_slot.c.
 */
#include "packet/packet.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

enum {
	BLOCK_BYTES = 128 << 10, /* holds the largest frame */
	RETIRE_MS = 10,
};

#define SECOND UINT64_C(1000000000)

/* How far a block has been read. */
struct progress {
	uint64_t number; /* of the block that this is about */
	uint32_t frames;
	uint32_t offset; /* of the next frame in the block; 0: the first */
};

/* A place in the ring: what struct spliced_ring has words for. */
struct cursor {
	uint64_t block; /* UINT64_MAX: not known, all are the kernel's */
	uint32_t frames, offset;
};

enum { WORD_HEAD, WORD_NEXT = 2, WORD_IS_SLOTS = 4 };

_Static_assert(sizeof(struct cursor) == 2 * sizeof(uint64_t), "a cursor is two words");

static int64_t bytes_of(const struct spliced_options *options)
{
	return spliced_value(options, PACKET_OPTION_RING)->number;
}

static uint64_t blocks_of(const struct spliced_options *options)
{
	uint64_t blocks = ((uint64_t)bytes_of(options) + BLOCK_BYTES - 1) / BLOCK_BYTES;

	return blocks < 2 ? 2 : blocks;
}

static bool has_ring(int fd)
{
	int version = TPACKET_V1;
	socklen_t len = sizeof version;

	return !getsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, &len) && version != TPACKET_V1;
}

/* Of a capture; what is forwarded has the first part alone, whose slots are as large as said. */
static int ask_for_ring(int fd, const struct spliced_options *options)
{
	struct tpacket_req3 request = {.tp_block_size = BLOCK_BYTES,
				       .tp_frame_size = PACKET_SLOT_BYTES,
				       .tp_block_nr = (unsigned)blocks_of(options)};
	int version = options->format ? TPACKET_V3 : TPACKET_V2;
	socklen_t len = options->format ? sizeof request : sizeof(struct tpacket_req);

	request.tp_frame_nr = request.tp_block_nr * (BLOCK_BYTES / PACKET_SLOT_BYTES);
	request.tp_retire_blk_tov = RETIRE_MS;
	request.tp_sizeof_priv = sizeof(struct progress);
	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) < 0)
		return -errno;
	return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, len) < 0 ? -errno : 0;
}

int packet_ring_prepare(int fd, const struct spliced_options *options)
{
	int r = 0;

	if (!bytes_of(options) || has_ring(fd))
		return 0;
	if (!options->format)
		r = packet_slot_prepare(fd);
	if (!r)
		r = ask_for_ring(fd, options);
	if (r < 0)
		SPLICED_ERROR(
			options, PACKET_OPTION_RING,
			"cannot create a ring of %lld bytes: %s; set a smaller size, or ring = 0",
			(long long)bytes_of(options), strerror(-r));
	return r;
}

/* ---- blocks ---- */

static uint64_t count_of(const struct spliced_ring *ring)
{
	return ring->len / BLOCK_BYTES;
}

static struct tpacket_block_desc *block_at(const struct spliced_ring *ring, uint64_t block)
{
	return (struct tpacket_block_desc *)((char *)ring->memory + block * BLOCK_BYTES);
}

/* What the kernel wrote before it gave the block to us is seen after this. */
static bool is_ours(const struct tpacket_block_desc *block)
{
	return __atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER;
}

static void give_back(struct tpacket_block_desc *block)
{
	__atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

static struct progress *progress_of(struct tpacket_block_desc *block)
{
	return (struct progress *)((char *)block + block->offset_to_priv);
}

static struct cursor get(const struct spliced_ring *ring, unsigned word)
{
	struct cursor cursor;

	memcpy(&cursor, &ring->words[word], sizeof cursor);
	return cursor;
}

static void put(struct spliced_ring *ring, unsigned word, struct cursor cursor)
{
	memcpy(&ring->words[word], &cursor, sizeof cursor);
}

/* The oldest block of ours, where it has been read to. */
static struct cursor find_head(const struct spliced_ring *ring)
{
	struct cursor head = {.block = UINT64_MAX};
	const struct progress *progress;

	for (uint64_t i = 0; i < count_of(ring); i++)
		if (is_ours(block_at(ring, i)) &&
		    (head.block == UINT64_MAX ||
		     block_at(ring, i)->hdr.bh1.seq_num <
			     block_at(ring, head.block)->hdr.bh1.seq_num))
			head.block = i;
	if (head.block == UINT64_MAX)
		return head;
	progress = progress_of(block_at(ring, head.block));
	if (progress->number == block_at(ring, head.block)->hdr.bh1.seq_num &&
	    progress->offset < BLOCK_BYTES) {
		head.frames = progress->frames;
		head.offset = progress->offset;
	}
	return head;
}

/* The frame at the cursor, which moves past it; a block that is read to its end is behind it then.
 * NULL: no more now. Where all blocks are ours, the one behind the last is the first: `end`, that
 * is not come to again (UINT64_MAX: none). */
static struct tpacket3_hdr *step(const struct spliced_ring *ring, struct cursor *cursor,
				 uint64_t end)
{
	for (uint64_t i = 0; i < count_of(ring); i++) {
		struct tpacket_block_desc *block = block_at(ring, cursor->block);
		struct tpacket3_hdr *frame;

		if (!is_ours(block))
			return NULL;
		if (cursor->frames < block->hdr.bh1.num_pkts) {
			cursor->offset = cursor->offset ? cursor->offset
							: block->hdr.bh1.offset_to_first_pkt;
			frame = (struct tpacket3_hdr *)((char *)block + cursor->offset);
			cursor->frames++;
			cursor->offset += frame->tp_next_offset;
			return frame;
		}
		if ((cursor->block + 1) % count_of(ring) == end)
			return NULL;
		*cursor = (struct cursor){.block = (cursor->block + 1) % count_of(ring)};
	}
	return NULL;
}

/* ---- callbacks ---- */

int packet_ring_map(int fd, const struct spliced_options *options, struct spliced_ring *ring)
{
	void *memory;

	if (!has_ring(fd))
		return 0;
	ring->len = (size_t)blocks_of(options) * BLOCK_BYTES;
	memory = mmap(NULL, ring->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	ring->memory = memory;
	ring->words[WORD_IS_SLOTS] = !options->format;
	if (options->format)
		put(ring, WORD_HEAD, (struct cursor){.block = UINT64_MAX});
	else
		packet_slot_map(ring);
	return 0;
}

static void tell_tag(const struct spliced_options *options, const struct tpacket3_hdr *frame,
		     struct spliced_message *message)
{
	uint32_t type = frame->tp_status & TP_STATUS_VLAN_TPID_VALID && frame->hv1.tp_vlan_tpid
				? frame->hv1.tp_vlan_tpid
				: ETH_P_8021Q;

	if (frame->tp_status & TP_STATUS_VLAN_VALID && options->row->type == SOCK_RAW &&
	    spliced_value(options, PACKET_OPTION_VLAN)->number)
		message->note = PACKET_NOTE_TAG | type << 16 | (frame->hv1.tp_vlan_tci & 0xffff);
}

int packet_ring_next(struct spliced_ring *ring, const struct spliced_options *options,
		     struct spliced_message *message)
{
	struct cursor head = get(ring, WORD_HEAD), next = get(ring, WORD_NEXT);
	const struct tpacket3_hdr *frame;

	if (ring->words[WORD_IS_SLOTS])
		return packet_slot_next(ring, options, message);
	if (head.block == UINT64_MAX) {
		head = next = find_head(ring);
		if (head.block == UINT64_MAX)
			return 0;
		put(ring, WORD_HEAD, head);
	}
	frame = step(ring, &next, head.block);
	put(ring, WORD_NEXT, next);
	if (!frame)
		return 0;
	message->data = (const char *)frame + frame->tp_mac;
	message->len = frame->tp_snaplen;
	message->wire_len = frame->tp_len;
	message->time = frame->tp_sec * SECOND + frame->tp_nsec;
	message->from =
		(const struct sockaddr *)((const char *)frame + TPACKET_ALIGN(sizeof *frame));
	message->from_len = sizeof(struct sockaddr_ll);
	tell_tag(options, frame, message);
	return 1;
}

/* Blocks before the head's are given back; how far that one has been read is written down. */
void packet_ring_consume(struct spliced_ring *ring, const struct spliced_options *options,
			 unsigned count)
{
	struct cursor head = get(ring, WORD_HEAD);
	uint64_t before = head.block;

	(void)options;
	if (ring->words[WORD_IS_SLOTS]) {
		packet_slot_consume(ring, count);
		return;
	}
	if (head.block == UINT64_MAX || !count_of(ring))
		return;
	while (count-- && step(ring, &head, UINT64_MAX))
		for (; before != head.block; before = (before + 1) % count_of(ring))
			give_back(block_at(ring, before));
	if (is_ours(block_at(ring, head.block)) &&
	    head.frames == block_at(ring, head.block)->hdr.bh1.num_pkts) {
		give_back(block_at(ring, head.block));
		head = (struct cursor){.block = (head.block + 1) % count_of(ring)};
	} else if (is_ours(block_at(ring, head.block))) {
		struct progress *progress = progress_of(block_at(ring, head.block));

		*progress = (struct progress){.number = block_at(ring, head.block)->hdr.bh1.seq_num,
					      .frames = head.frames,
					      .offset = head.offset};
	}
	put(ring, WORD_HEAD, head);
	put(ring, WORD_NEXT, head);
}
