/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages that wait in a pipe, each prefixed with its length. */
#include "move/sink_held.h"

#include "base/assert.h"
#include "net/framing.h"
#include "session/buffers.h"
#include "session/direction.h"
#include "session/session.h"
#include "session/tally.h"
#include "session/thread.h"

#include <string.h>
#include <unistd.h>

enum { HELD_BYTES = 128 << 10 }; /* of messages for a target that is being connected */

/* Nothing may follow a truncated message: release() of sink.c skips it. */
static void close_up(struct session *session, unsigned d)
{
	session->direction[d].fill = HELD_BYTES;
}

int sink_hold(struct session *session, unsigned d, const struct iovec *messages, unsigned count,
	      unsigned *taken)
{
	ssize_t n;

	if (!direction_borrow_pipe(session, d, HELD_BYTES))
		return RELAY_STARVED;
	for (; *taken < count; ++*taken) {
		uint32_t len = (uint32_t)messages[*taken].iov_len;
		struct iovec parts[] = {{&len, sizeof len}, messages[*taken]};

		/* One page may be shared with what was written before. */
		if (session->direction[d].fill + sizeof len + len > HELD_BYTES - PIPE_SLOT_BYTES)
			return RELAY_BLOCKED;
		tally_put(session, d, 1, sizeof len + len);
		n = writev(session_record(session)->direction[d].pipe, parts, 2);
		tally_was_put(session, d, n == (ssize_t)(sizeof len + len));
		if (n < 0)
			return RELAY_STARVED;
		if (n != (ssize_t)(sizeof len + len)) {
			close_up(session, d);
			return RELAY_STARVED;
		}
		session->direction[d].fill += (uint32_t)n;
	}
	return 0;
}

bool sink_next_held(uint8_t *bytes, size_t n, size_t *at, struct iovec *ret)
{
	uint32_t len;

	assert(*at <= n);
	if (n - *at < sizeof len)
		return false;
	memcpy(&len, bytes + *at, sizeof len);
	if (len > n - *at - sizeof len)
		return false;
	*ret = (struct iovec){bytes + *at + sizeof len, len};
	*at += sizeof len + len;
	return true;
}

bool sink_next_waiting(const struct session *session, uint8_t *bytes, size_t n, size_t *at,
		       struct iovec *ret)
{
	struct framing_found found;

	if (!session->side[1].framing)
		return sink_next_held(bytes, n, at, ret);
	if (n == *at || framing_decode(session->side[1].framing, bytes + *at, n - *at,
				       session->side[1].max_frame, &found) <= 0)
		return false;
	*ret = (struct iovec){(void *)found.message, found.len};
	*at += found.consumed;
	return true;
}

void sink_adopt(struct session *session, unsigned d)
{
	uint8_t *bytes = session->thread->buffers->scratch;
	struct iovec message;
	size_t at = 0;
	ssize_t n;

	if (!session->direction[d].fill || session->side[!d].framing || !session->exchanges)
		return;
	n = pipe_look(&session->thread->pipes, session_record(session)->direction[d].pipe,
		      session->direction[d].pipe_size, bytes, session->direction[d].fill);
	while (n > 0 && sink_next_held(bytes, (size_t)n, &at, &message))
		;
	if (n != (ssize_t)session->direction[d].fill || at != (size_t)n)
		close_up(session, d);
}
