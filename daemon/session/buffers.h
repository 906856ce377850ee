/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread's message buffers: room for one turn's batch, allocated before the thread starts.
 * Nothing stays here between two turns: a message is in the source's queue, in a pipe, or in the
 * sink's queue. While a listener's batch is in hand, which may be of many sessions, no session
 * reads into the same buffers: it is served after the batch.
 */
#pragma once

#include "ledger/ledger.h"
#include "net/framing.h"

#include <spliced/plugin.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
	BUFFERS_BATCH = LEDGER_BATCH_MAX,    /* messages received or sent by one call */
	BUFFERS_HEADROOM = SPLICED_HEADROOM, /* bytes before a message of a feed, where its family
						restores headers */
	BUFFERS_SLOT =
		66
		<< 10, /* bytes for each of them and its headroom: no datagram or frame is longer */
	BUFFERS_MESSAGE_MAX = 1 << 20, /* largest message that is received alone */
	BUFFERS_SCRATCH = 4 << 20,     /* headers and escapes of the frames of one writev(2) */
	BUFFERS_FRAMES = 64,	       /* frames of a format that are sent at once, */
	BUFFERS_FRAME_MAX = 64 << 10,  /* and the largest of them */
	BUFFERS_FRAMES_BYTES = 256 << 10,
	BUFFERS_ASIDE = 1 << 20, /* of the scratch's end: messages that one sink hands to another */
	BUFFERS_CONTROL = 128,	 /* control data of a received message */
};

struct buffers {
	uint8_t bytes[BUFFERS_BATCH * BUFFERS_SLOT];
	uint8_t scratch[BUFFERS_SCRATCH];
	uint8_t frames[BUFFERS_FRAMES_BYTES];
	_Alignas(8) uint8_t states[BUFFERS_FRAMES + 1][LEDGER_FORMAT_STATE_MAX];
	struct mmsghdr *in, *out; /* [BUFFERS_BATCH], in the thread's record */
	struct iovec in_parts[BUFFERS_BATCH], messages[BUFFERS_BATCH],
		parts[BUFFERS_BATCH * FRAMING_PARTS];
	struct sockaddr_storage from[BUFFERS_BATCH];
	_Alignas(8) uint8_t control[BUFFERS_BATCH][BUFFERS_CONTROL];
	bool in_hand; /* a listener's batch is */
};

/* BUFFERS_ASIDE bytes behind what the frames of as many need for headers and escapes. */
static inline uint8_t *buffers_aside(struct buffers *buffers)
{
	return buffers->scratch + BUFFERS_SCRATCH - BUFFERS_ASIDE;
}
