/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames that are collected for one writev(2): a second one, to a pipe that is not empty, could cut
 * them. */
#include "move/sink_frames.h"

#include "base/assert.h"
#include "move/sink_drop.h"
#include "net/fault.h"
#include "net/framing.h"
#include "session/buffers.h"
#include "session/direction.h"
#include "session/session.h"
#include "session/tally.h"
#include "session/thread.h"

#include <errno.h>

/* The frames written into an empty pipe by one writev(2). */
struct gathered {
	unsigned parts;
	size_t bytes, scratch;
	uint64_t messages, payload;
	uint64_t oversize, unfit; /* messages that are left out */
};

static bool has_room(const struct gathered *gathered, size_t scratch)
{
	return gathered->parts + FRAMING_PARTS <= BUFFERS_BATCH * FRAMING_PARTS &&
	       gathered->scratch + scratch <= BUFFERS_SCRATCH;
}

/* Adds a message's frame. 1: added, or dropped; 0: no room for it now. */
static int gather(struct session *session, unsigned d, const struct iovec *message,
		  size_t pipe_size, struct gathered *gathered)
{
	struct buffers *buffers = session->thread->buffers;
	size_t scratch, bytes = 0;
	struct iovec *parts;
	int n;

	if (message->iov_len > session->side[!d].max_frame) {
		gathered->oversize++;
		return 1;
	}
	scratch = framing_scratch(session->side[!d].framing, message->iov_len);
	if (!has_room(gathered, scratch))
		return 0;
	parts = &buffers->parts[gathered->parts];
	n = framing_encode(session->side[!d].framing, message->iov_base, message->iov_len,
			   session->side[!d].max_frame, buffers->scratch + gathered->scratch,
			   parts);
	if (n < 0) {
		*(n == -EMSGSIZE ? &gathered->oversize : &gathered->unfit) += 1;
		return 1;
	}
	for (int i = 0; i < n; i++)
		bytes += parts[i].iov_len;
	if (gathered->bytes + bytes > pipe_size)
		return 0;
	gathered->parts += (unsigned)n;
	gathered->bytes += bytes;
	gathered->scratch += scratch;
	gathered->messages++;
	gathered->payload += message->iov_len;
	return 1;
}

/* All of it into the pipe, which is empty, or nothing: where the kernel had no memory for the rest,
 * what is in the pipe would be a cut frame. Nothing of it was sent yet. */
static int put(struct session *session, unsigned d, const struct gathered *gathered)
{
	ssize_t n = 0;

	assert(!session->direction[d].fill);
	if (gathered->bytes) {
		tally_put(session, d, gathered->messages, gathered->bytes);
		n = writev(session_record(session)->direction[d].pipe,
			   session->thread->buffers->parts, (int)gathered->parts);
		tally_was_put(session, d, n == (ssize_t)gathered->bytes);
	} else {
		/* Empty messages without framing: nothing to write. */
		ledger_count(&session_counter(session)->messages[d], gathered->messages);
	}
	if (n < 0)
		return fault_of(errno) <= FAULT_SHORTAGE ? RELAY_STARVED : -errno;
	if (n != (ssize_t)gathered->bytes) {
		direction_discard_pipe(session, d);
		return RELAY_STARVED;
	}
	session->direction[d].fill = (uint32_t)n;
	session->put = d ? session->put : (uint32_t)n;
	session->moved = true;
	ledger_count(&session_flow(session)->messages[d], gathered->messages);
	sink_drop(session, DROPPED_OVERSIZE, gathered->oversize);
	sink_drop(session, DROPPED_FRAMING, gathered->unfit);
	return 0;
}

int sink_put_frames(struct session *session, unsigned d, const struct iovec *messages,
		    unsigned count, unsigned *taken)
{
	struct gathered gathered = {0};
	unsigned next = *taken;
	int r;

	if (!direction_borrow_pipe(session, d, session->side[!d].max_frame))
		return RELAY_STARVED;
	assert_costly(assert_bytes_in(session_record(session)->direction[d].pipe) == 0);
	while (next < count &&
	       gather(session, d, &messages[next], session->direction[d].pipe_size, &gathered))
		next++;
	r = put(session, d, &gathered);
	if (!r)
		*taken = next;
	return r;
}
