/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sinks: where a message goes depends on the kind of the sink and the state of its connection. What
 * waits in the pipe, or is kept, is sent first.
 */
#include "move/sink.h"

#include "base/assert.h"
#include "base/log.h"
#include "config/config.h"
#include "move/mover.h"
#include "move/relay.h"
#include "move/sink_drop.h"
#include "move/sink_frames.h"
#include "move/sink_held.h"
#include "move/sink_message.h"
#include "session/buffers.h"
#include "session/direction.h"
#include "session/lane.h"
#include "session/session.h"
#include "session/tally.h"
#include "session/thread.h"

#include <errno.h>
#include <unistd.h>

bool sink_is_void(const struct session *session, unsigned d)
{
	return session->side[!d].receive_only;
}

/* Once per route and thread: the counter has the others. */
static void warn_of_answer(const struct session *session)
{
	if (!atomic_load(&session_counter(session)->dropped[DROPPED_UNEXPECTED]))
		log_warning("route %s: target %s sends replies, but replies = 0: they are dropped",
			    session->route->name,
			    session->route->targets[session_record(session)->target].name);
}

/* Why a message is dropped before it is sent, or -1. */
static int find_drop(const struct session *session, unsigned d)
{
	if (sink_is_void(session, d))
		return DROPPED_RECEIVE_ONLY;
	if (d == 0 && session->leads_back)
		return DROPPED_LOOP;
	if (d == 0 || !session_is_handed_in(session))
		return -1;
	if (session->route->replies == 0) {
		warn_of_answer(session);
		return DROPPED_UNEXPECTED;
	}
	return session_flow(session)->peer_len ? -1 : DROPPED_UNNAMED;
}

/* Sends a message that was held. 1: done; 0: there is no room for it, nor for others. */
static unsigned release_one(struct session *session, unsigned d, const struct iovec *message,
			    int *r)
{
	unsigned taken = 0;

	if (!*r)
		*r = sink_send(session, d, message, 1, &taken);
	if (!taken && *r && *r != RELAY_BLOCKED && *r != RELAY_STARVED && lane_is(session))
		taken = mover_offer(session, message, 1);
	return taken;
}

/* All of it at once: these messages may be lost, and are if the sink has no room for them. */
static int release(struct session *session, unsigned d)
{
	uint8_t *bytes = buffers_aside(session->thread->buffers);
	uint32_t held = session->direction[d].fill;
	struct iovec message;
	unsigned taken;
	size_t at = 0;
	ssize_t n;
	int r = 0;

	assert(held > 0);
	tally_take(session, d, UINT32_MAX, held);
	n = read(session_record(session)->direction[d].pipe, bytes, BUFFERS_ASIDE);
	if (n < 0 && errno != EAGAIN) {
		tally_was_taken(session, d, false);
		session_retry(session);
		return RELAY_STARVED;
	}
	session->direction[d].fill = 0;
	session->moved = true;
	while (n > 0 && sink_next_held(bytes, (size_t)n, &at, &message)) {
		taken = release_one(session, d, &message, &r);
		tally_let_go(session, d, 1);
		sink_drop(session, DROPPED_OVERFLOW, !taken);
	}
	tally_lose_held(session, d);
	tally_was_taken(session, d, true);
	/* What may be left in it must not reach another session. */
	if (n != (ssize_t)held)
		direction_discard_pipe(session, d);
	return r;
}

static int drain(struct session *session, unsigned d)
{
	int r = relay_drain_pipe(session, d);

	if (!r && session->exchanges)
		tally_send_held(session, d);
	return r;
}

int sink_drain(struct session *session, unsigned d)
{
	int r = d == 0 ? sink_repeat(session) : 0;

	if (r)
		return r;
	if (session->direction[d].fill) {
		if (session_record(session)->state != SESSION_RELAYING ||
		    !session->side[!d].writable)
			return RELAY_BLOCKED;
		if (session->side[!d].framing || !session->exchanges)
			r = drain(session, d);
		else
			r = release(session, d);
	}
	if (!r && session_record(session)->direction[d].pipe >= 0)
		direction_give_pipe_back(session, d);
	return r;
}

static int send_frames(struct session *session, unsigned d, const struct iovec *messages,
		       unsigned count, unsigned *taken)
{
	int r = sink_drain(session, d);

	while (!r && *taken < count) {
		r = sink_put_frames(session, d, messages, count, taken);
		if (r)
			return r;
		r = sink_drain(session, d);
	}
	/* The pipe's contents count as sent; after a shortage it is tried again. */
	if (*taken == count && (r == RELAY_BLOCKED || r == RELAY_STARVED))
		return 0;
	return r;
}

int sink_send(struct session *session, unsigned d, const struct iovec *messages, unsigned count,
	      unsigned *taken)
{
	int why = find_drop(session, d), r;

	assert(d < 2 && count <= BUFFERS_BATCH);
	*taken = 0;
	if (d == 1 && !session->proven)
		mover_tell_proven(session);
	if (d == 0)
		session->moves_left = session->route->n_targets - 1;
	if (why >= 0) {
		sink_drop(session, (enum drop)why, count);
		*taken = count;
		return 0;
	}
	if (session->side[!d].framing)
		return send_frames(session, d, messages, count, taken);
	if (session_record(session)->state != SESSION_RELAYING)
		return session_blocks(session, d) ? RELAY_BLOCKED
						  : sink_hold(session, d, messages, count, taken);
	if (!session->side[!d].writable)
		return RELAY_BLOCKED;
	r = d == 0 ? sink_repeat(session) : 0;
	if (r)
		return r;
	return sink_send_messages(session, d, messages, count, taken);
}
