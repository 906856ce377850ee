/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running formats. A frame is made from a copy of the format's state, and the copy becomes the
 * state when the frame is sent: if the sink is not ready, or the worker crashes, the frame is made
 * again, and none is lost. The flow's record has the state twice, so that a crash while one is
 * written leaves the other intact.
 */
#include "move/format.h"

#include "base/assert.h"
#include "config/config.h"
#include "move/relay.h"
#include "move/sink.h"
#include "move/sink_drop.h"
#include "net/callback.h"
#include "session/buffers.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>
#include <string.h>

static struct spliced_consumer consumer_of(const struct session *session, unsigned s, void *state)
{
	return (struct spliced_consumer){.size = sizeof(struct spliced_consumer),
					 .fd = session_fd(session, s),
					 .options = &session_leg(session, s)->options,
					 .state = state};
}

static void keep_state(struct session *session, const void *state)
{
	struct ledger_flow *flow = session_flow(session);
	uint32_t next = !flow->format_now;

	assert(flow->format_now <= 1);
	memcpy(flow->format[next], state, LEDGER_FORMAT_STATE_MAX);
	atomic_store_explicit(&flow->format_now, next, memory_order_release);
}

/* Which of the format's three callbacks makes the next frame. */
struct maker {
	const struct spliced_message *message; /* encode */
	int why;			       /* else resync; 0: preamble */
};

static int make_frame(struct session *session, unsigned s, const struct maker *maker, void *state,
		      void *frame)
{
	const struct spliced_format *format = session->side[s].format;
	const struct family *family = session_leg(session, s)->family;
	struct spliced_consumer consumer = consumer_of(session, s, state);
	size_t size = BUFFERS_FRAME_MAX;
	int n = 0;

	assert(format && s < 2);
	if (maker->message)
		n = (int)CALLBACK(family, encode,
				  format->encode(&consumer, maker->message, frame, size));
	else if (maker->why)
		n = format->event ? (int)CALLBACK(family, event,
						  format->event(&consumer, maker->why, frame, size))
				  : 0;
	else
		n = format->preamble ? (int)CALLBACK(family, preamble,
						     format->preamble(&consumer, frame, size))
				     : 0;
	session->late = consumer.late;
	if (consumer.wake && (!session->wake || consumer.wake < session->wake)) {
		session->wake = consumer.wake;
		session_look_again(session, consumer.wake);
	}
	return n;
}

enum drop format_drop_reason(int error)
{
	switch (error) {
	case -EPERM:
		return DROPPED_SENDER;
	case -EMSGSIZE:
		return DROPPED_OVERSIZE;
	case CALLBACK_REFUSED:
		return DROPPED_POISON;
	}
	return DROPPED_FORMAT;
}

/* Makes frames until there are no more, and sends them; the state advances with the frames sent. 0:
 * all; positive: why not. */
static int send_made(struct session *session, unsigned s, const struct maker *maker)
{
	struct buffers *buffers = session->thread->buffers;
	bool more = true;

	assert(session->side[s].format);
	while (more) {
		size_t used = 0;
		unsigned count = 0, taken = 0;
		int n = 0, r;

		memcpy(buffers->states[0],
		       session_flow(session)->format[session_flow(session)->format_now],
		       LEDGER_FORMAT_STATE_MAX);
		while (count < BUFFERS_FRAMES && used + BUFFERS_FRAME_MAX <= BUFFERS_FRAMES_BYTES) {
			memcpy(buffers->states[count + 1], buffers->states[count],
			       LEDGER_FORMAT_STATE_MAX);
			n = make_frame(session, s, maker, buffers->states[count + 1],
				       buffers->frames + used);
			if (n <= 0)
				break;
			buffers->messages[count++] =
				(struct iovec){buffers->frames + used, (size_t)n};
			used += (size_t)n;
		}
		more = n > 0;
		r = count ? sink_send(session, s, buffers->messages, count, &taken) : 0;
		if (r) {
			assert(taken <= count);
			keep_state(session, buffers->states[taken]);
			return r;
		}
		keep_state(session, buffers->states[more ? count : count + 1]);
		if (n < 0)
			sink_drop(session, format_drop_reason(n), 1);
	}
	return 0;
}

int format_resync(struct session *session, unsigned s, int why)
{
	return session->side[s].format ? send_made(session, s, &(struct maker){.why = why}) : 0;
}

static void count_lost(const struct session *session)
{
	ledger_count(&session_counter(session)->lost, 1);
}

/* Tells the format where messages are missing, and counts those it confirms. A report that does not
 * fit now is sent before anything else later. */
static int tell_gaps(struct session *session, unsigned s)
{
	static const struct {
		uint32_t flag;
		int why;
	} gaps[] = {{FLOW_BROKEN, SPLICED_BROKEN}, {FLOW_LOST, SPLICED_LOST}};
	struct ledger_flow *flow = session_flow(session);

	assert(session->side[s].format);
	for (unsigned i = 0; i < 2; i++) {
		int r;

		if (!(flow->flags & gaps[i].flag))
			continue;
		r = format_resync(session, s, gaps[i].why);
		if (r)
			return r;
		flow->flags &= ~gaps[i].flag;
		if (gaps[i].why == SPLICED_LOST && !session->late)
			count_lost(session);
	}
	return 0;
}

int format_lost(struct session *session, unsigned s)
{
	if (!session->side[s].format) {
		count_lost(session);
		return 0;
	}
	session_flow(session)->flags |= FLOW_LOST;
	return tell_gaps(session, s);
}

int format_encode(struct session *session, unsigned s, const struct spliced_message *message)
{
	assert(message->data || !message->len);
	return send_made(session, s, &(struct maker){.message = message});
}

/* ---- rings ---- */

/* Frames that are made from several messages. The state that frame i was made from is states[i],
 * the state after the last one is states[count]: so wherever the sink stops, the rest can be made
 * again. */
struct batch {
	unsigned count;			  /* frames */
	unsigned messages;		  /* consumed when all frames are sent */
	unsigned message[BUFFERS_FRAMES]; /* that each frame is of */
	size_t used;
};

/* One message's frames. False: there is no room for all of them. */
static bool add_frames(struct session *session, unsigned s, const struct spliced_message *message,
		       struct batch *batch)
{
	struct buffers *buffers = session->thread->buffers;
	const struct maker maker = {.message = message};

	assert(batch->count <= BUFFERS_FRAMES && batch->used <= BUFFERS_FRAMES_BYTES);
	while (batch->count < BUFFERS_FRAMES &&
	       batch->used + BUFFERS_FRAME_MAX <= BUFFERS_FRAMES_BYTES) {
		uint8_t *frame = buffers->frames + batch->used,
			*after = buffers->states[batch->count + 1];
		int n;

		memcpy(after, buffers->states[batch->count], LEDGER_FORMAT_STATE_MAX);
		n = make_frame(session, s, &maker, after, frame);
		if (n <= 0) {
			if (n < 0)
				sink_drop(session, format_drop_reason(n), 1);
			memcpy(buffers->states[batch->count], after, LEDGER_FORMAT_STATE_MAX);
			batch->messages++;
			return true;
		}
		batch->message[batch->count] = batch->messages;
		buffers->messages[batch->count++] = (struct iovec){frame, (size_t)n};
		batch->used += (size_t)n;
	}
	return false;
}

int format_encode_ring(struct session *session, unsigned s, bool drops, bool *more)
{
	const struct config_leg *leg = session_leg(session, s);
	struct buffers *buffers = session->thread->buffers;
	struct spliced_ring *ring = session->side[s].ring;
	struct batch batch = {0};
	unsigned taken = 0, done;
	int r = 0;

	assert(ring && session->side[s].format);
	memcpy(buffers->states[0], session_flow(session)->format[session_flow(session)->format_now],
	       LEDGER_FORMAT_STATE_MAX);
	do {
		struct spliced_message message = {.size = sizeof message};

		*more = CALLBACK(leg->family, next,
				 leg->family->plugin.next(ring, &leg->options, &message)) > 0;
		if (!*more)
			break;
		*more = add_frames(session, s, &message, &batch);
	} while (*more);
	*more = batch.count || batch.messages;
	if (batch.count)
		r = sink_send(session, s, buffers->messages, batch.count, &taken);
	if ((r == RELAY_BLOCKED || r == RELAY_STARVED) && drops) {
		sink_drop(session, DROPPED_OVERFLOW, batch.messages - batch.message[taken]);
		taken = batch.count;
		r = 0;
	}
	assert(taken <= batch.count);
	keep_state(session, buffers->states[taken]);
	session->moved |= batch.messages > 0;
	done = taken < batch.count ? batch.message[taken] : batch.messages;
	CALLBACK_VOID(leg->family, consume, leg->family->plugin.consume(ring, &leg->options, done));
	return r;
}

int format_greet(struct session *session, unsigned s)
{
	struct ledger_flow *flow = session_flow(session);
	int r;

	assert(s < 2);
	if (!session->side[s].format)
		return 0;
	if (flow->flags & FLOW_GREETED)
		return tell_gaps(session, s);
	r = send_made(session, s, &(struct maker){0});
	if (!r) {
		if (flow->flags & FLOW_LOST)
			count_lost(session);
		flow->flags |= FLOW_GREETED;
		flow->flags &= ~(uint32_t)(FLOW_BROKEN | FLOW_LOST);
	}
	return r;
}

int format_wake(struct session *session, unsigned s)
{
	session->wake = 0;
	return format_resync(session, s, SPLICED_WAKE);
}
