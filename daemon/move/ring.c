/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "move/ring.h"

#include "base/assert.h"
#include "config/config.h"
#include "move/format.h"
#include "move/relay.h"
#include "move/sink.h"
#include "move/sink_drop.h"
#include "net/callback.h"
#include "session/buffers.h"
#include "session/session.h"
#include "session/tally.h"
#include "session/thread.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

int ring_map(struct session *session, unsigned side)
{
	const struct config_leg *leg = session_leg(session, side);
	struct spliced_ring *ring;
	int r;

	assert(side < 2);
	if (session->side[side].ring || !(leg->row->capabilities & SPLICED_FEED) ||
	    !leg->family->plugin.map)
		return 0;
	ring = calloc(1, sizeof *ring);
	if (!ring)
		return -ENOMEM;
	ring->size = sizeof *ring;
	r = (int)CALLBACK(leg->family, map,
			  leg->family->plugin.map(session_fd(session, side), &leg->options, ring));
	if (!r && ring->memory)
		session->side[side].ring = ring;
	else
		free(ring);
	return r;
}

void ring_unmap(struct session *session)
{
	for (unsigned side = 0; side < 2; side++) {
		struct spliced_ring *ring = session->side[side].ring;

		session->side[side].ring = NULL;
		if (ring)
			munmap(ring->memory, ring->len);
		free(ring);
	}
}

void ring_consume(struct session *session, unsigned s, unsigned count)
{
	const struct config_leg *leg = session_leg(session, s);

	assert(s < 2 && session->side[s].ring);
	CALLBACK_VOID(leg->family, consume,
		      leg->family->plugin.consume(session->side[s].ring, &leg->options, count));
}

static int nothing_now(struct session *session, unsigned s)
{
	assert(s < 2);
	session->side[s].readable = false;
	return RELAY_BLOCKED;
}

static int move_formatted(struct session *session, unsigned s)
{
	bool more;
	int r = format_encode_ring(session, s, !session_blocks(session, s), &more);

	assert(session->side[s].format);
	return r || more ? r : nothing_now(session, s);
}

static int send_from_ring(struct session *session, unsigned s, unsigned count)
{
	unsigned taken;
	int r = sink_send(session, s, session->thread->buffers->messages, count, &taken);

	assert(count > 0 && count <= BUFFERS_BATCH);
	if ((r == RELAY_BLOCKED || r == RELAY_STARVED) && !session_blocks(session, s)) {
		sink_drop(session, DROPPED_OVERFLOW, count - taken);
		taken = count;
		r = 0;
	}
	assert(taken <= count);
	session->moved |= taken > 0;
	tally_receive(session, s, taken);
	ring_consume(session, s, taken);
	return r;
}

int ring_move(struct session *session, unsigned s, bool *large)
{
	const struct config_leg *leg = session_leg(session, s);
	struct iovec *messages = session->thread->buffers->messages;
	unsigned count = 0;
	int n = 1;

	assert(s < 2 && session->side[s].ring);
	assert(!session->side[s].owed);
	*large = false;
	if (session->side[s].format)
		return move_formatted(session, s);
	while (count < BUFFERS_BATCH) {
		struct spliced_message message = {.size = sizeof message};

		n = (int)CALLBACK(
			leg->family, next,
			leg->family->plugin.next(session->side[s].ring, &leg->options, &message));
		if (n <= 0)
			break;
		messages[count++] = (struct iovec){(void *)message.data, message.len};
	}
	if (count)
		return send_from_ring(session, s, count);
	*large = n == -EMSGSIZE;
	if (*large)
		return 0;
	if (n == 0)
		return nothing_now(session, s);
	session->moved = true;
	tally_receive(session, s, 1);
	sink_drop(session, format_drop_reason(n), 1);
	ring_consume(session, s, 1);
	return 0;
}
