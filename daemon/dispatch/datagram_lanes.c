/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each message is offered to each member at most once, and a message moved from one lane to
 * another is not moved again in the same call. */
#include "dispatch/datagram_lanes.h"

#include "config/config.h"
#include "dispatch/balance.h"
#include "dispatch/chain.h"
#include "dispatch/datagram.h"
#include "dispatch/dispatch.h"
#include "dispatch/listener.h"
#include "dispatch/peer_key.h"
#include "dispatch/peers.h"
#include "dispatch/pool.h"
#include "dispatch/target.h"
#include "ledger/generation.h"
#include "move/sink_held.h"
#include "session/buffers.h"
#include "session/direction.h"
#include "session/lane.h"
#include "session/pipe.h"
#include "session/session.h"
#include "session/tally.h"
#include "session/thread.h"

#include <string.h>
#include <unistd.h>

enum { LANES_LOOKED_FOR = 64 };

static uint32_t route_index(const struct datagram_front *front)
{
	return (uint32_t)(front->route - front->listener->generation->config->routes);
}

/* ---- lanes ---- */

/* The key under which a lane is found among the listener's peers. */
static void lane_peer(uint32_t listener, uint32_t member, struct peer *ret)
{
	static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	*ret = (struct peer){.listener = listener, .address = &nobody, .reply_len = sizeof member};
	memcpy(ret->reply, &member, sizeof member);
}

static struct session *find_lane(const struct datagram_front *front, uint32_t member)
{
	struct peer peer;

	lane_peer(front->index, member, &peer);
	return peers_find(front->thread, front->leg, &peer);
}

/* The lane of a member; where there is no place for another, one that there is. */
static struct session *lane_of(const struct datagram_front *front, uint32_t member, enum drop *why)
{
	const struct address nobody = {.len = 0};
	struct session *session = find_lane(front, member);
	struct peer peer;

	*why = DROPPED_NO_SESSION;
	lane_peer(front->index, member, &peer);
	if (!session)
		session = datagram_begin(front, &peer, &nobody, NULL);
	for (uint32_t i = 1; !session && i < front->route->n_targets && i < LANES_LOOKED_FOR; i++)
		session = find_lane(front, (member + i) % front->route->n_targets);
	if (!session || datagram_is_alive(session))
		return session;
	*why = DROPPED_UNREACHABLE;
	return NULL;
}

/* header: NULL: of several messages. */
static struct pool_sender sender_of(const struct datagram_front *front, const struct msghdr *header)
{
	bool counts = front->route->balance == BALANCE_SOURCE;

	return (struct pool_sender){
		.thread = front->thread,
		.generation = front->listener->generation,
		.route = route_index(front),
		.key = header && counts ? peer_key(header->msg_name, header->msg_namelen) : 0,
	};
}

/* Those that messages are offered to, one after the other. */
struct turn {
	const struct datagram_front *front;
	uint16_t tried[BALANCE_TRIED_MAX];
	unsigned n_tried, n; /* n: how many there were */
	uint32_t member;
};

/* The first is given. Then comes the one that the balance chooses of the others, and finally
 * each in its order. BALANCE_NOBODY: there is no other. */
static uint32_t next_in_turn(struct turn *turn)
{
	const struct datagram_front *front = turn->front;
	const struct pool_sender sender = sender_of(front, NULL);

	if (turn->n && turn->n_tried < BALANCE_TRIED_MAX)
		turn->member = pool_choose_another(&sender, turn->tried, turn->n_tried);
	else if (turn->n)
		turn->member = (turn->member + 1) % front->route->n_targets;
	turn->n++;
	if (turn->member != BALANCE_NOBODY && turn->n_tried < BALANCE_TRIED_MAX)
		turn->tried[turn->n_tried++] = (uint16_t)turn->member;
	return turn->member;
}

/* Whether it may get what another member does not take. */
static bool may_help(const struct datagram_front *front, uint32_t member)
{
	const struct pool_sender sender = sender_of(front, NULL);

	return pool_may_choose(&sender, member) &&
	       !target_fails(front->thread, front->listener->generation, route_index(front),
			     member);
}

/* To the member's lane, and what that one does not take to those of other members that do not
 * fail. One that is connected and has no room holds up what is meant for it. from: the lane that
 * has them, or NULL: the member is its own. Returns how many were not taken; *why. */
static unsigned offer(const struct datagram_front *front, const struct session *from,
		      uint32_t member, const struct iovec *messages, unsigned count, enum drop *why)
{
	uint32_t members = front->route->n_targets, next;
	struct turn turn = {.front = front, .member = member};
	unsigned left = count;

	while (left && turn.n < members && turn.n < LANES_LOOKED_FOR &&
	       (next = next_in_turn(&turn)) != BALANCE_NOBODY) {
		struct session *session;

		if (turn.n > 1 && !may_help(front, next))
			continue;
		session = from && turn.n == 1 ? NULL : lane_of(front, next, why);
		if (!session || session == from)
			continue;
		left = datagram_hand_in(front, session, messages + (count - left), left);
		*why = DROPPED_UNREACHABLE;
		if (left && datagram_is_alive(session) &&
		    session_record(session)->state == SESSION_RELAYING) {
			*why = DROPPED_OVERFLOW;
			break;
		}
	}
	return left;
}

/* ---- handing in ---- */

/* What becomes of a message before it comes to a lane. */
enum lane_verdict { LANE_TAKES, LANE_REFUSED, LANE_OWN };

/* REFUSED: *why; OWN: one of our own sessions has sent it, and has one of its own here. */
static enum lane_verdict judge(const struct datagram_front *front, const struct msghdr *header,
			       enum drop *why)
{
	struct address address = {
		.len = header->msg_namelen > sizeof(sa_family_t) ? header->msg_namelen : 0};
	struct chain chain;

	memcpy(&address.storage, header->msg_name, address.len);
	if (!datagram_admit(front, &address, &chain, why))
		return LANE_REFUSED;
	return chain.is_child ? LANE_OWN : LANE_TAKES;
}

/* Those of a batch that go by the same lane as the first of them. */
static void hand_in_lane(const struct datagram_front *front, const uint32_t *members, int first,
			 int n)
{
	struct buffers *buffers = front->thread->buffers;
	enum drop why = DROPPED_UNREACHABLE;
	unsigned count = 0;

	for (int i = first; i < n; i++)
		if (members[i] == members[first] && buffers->in_parts[i].iov_base) {
			buffers->messages[count++] = buffers->in_parts[i];
			buffers->in_parts[i].iov_base = NULL;
		}
	count = offer(front, NULL, members[first], buffers->messages, count, &why);
	datagram_drop(front, why, count);
}

/* Messages that no lane takes are handled first: a session that begins may take the place of
 * another. */
static void keep_for_lanes(const struct datagram_front *front, int i)
{
	struct buffers *buffers = front->thread->buffers;
	enum drop why = DROPPED_NO_SESSION;

	switch (judge(front, &buffers->in[i].msg_hdr, &why)) {
	case LANE_TAKES:
		return;
	case LANE_REFUSED:
		datagram_drop(front, why, 1);
		break;
	case LANE_OWN:
		buffers->messages[0] = buffers->in_parts[i];
		datagram_hand_in_run(front, datagram_find(front, &buffers->in[i].msg_hdr, &why),
				     why, 1);
		break;
	}
	buffers->in_parts[i].iov_base = NULL;
}

void datagram_lanes_hand_in(const struct datagram_front *front, int n)
{
	struct buffers *buffers = front->thread->buffers;
	uint32_t members[BUFFERS_BATCH] = {0};

	for (int i = 0; i < n; i++)
		if (buffers->in_parts[i].iov_base)
			keep_for_lanes(front, i);
	for (int i = 0; i < n; i++) {
		const struct pool_sender sender = sender_of(front, &buffers->in[i].msg_hdr);

		if (buffers->in_parts[i].iov_base)
			members[i] = pool_choose(&sender);
	}
	for (int i = 0; i < n; i++)
		if (buffers->in_parts[i].iov_base)
			hand_in_lane(front, members, i, n);
}

bool datagram_lanes_take(const struct datagram_front *front, struct msghdr *header,
			 const struct iovec *message, enum drop *why)
{
	struct pool_sender sender;
	struct session *session;
	uint32_t member;

	switch (judge(front, header, why)) {
	case LANE_REFUSED:
		return false;
	case LANE_OWN:
		session = datagram_find(front, header, why);
		return session && !datagram_hand_in(front, session, message, 1);
	case LANE_TAKES:
		break;
	}
	sender = sender_of(front, header);
	member = pool_choose(&sender);
	return !offer(front, NULL, member, message, 1, why);
}

/* ---- moving between lanes ---- */

unsigned datagram_lanes_offer(const struct session *session, const struct iovec *messages,
			      unsigned count)
{
	uint32_t index = session_record(session)->listener;
	struct thread *thread = session->thread;
	struct datagram_front front;
	enum drop why;

	if (thread->dispatch->passes_on || !thread->dispatch->listeners[index].thread)
		return 0;
	datagram_init(&front, thread, &thread->dispatch->listeners[index], index);
	if (!lanes_have(front.route))
		return 0;
	thread->dispatch->passes_on = true;
	count -= offer(&front, session, lane_member(session), messages, count, &why);
	thread->dispatch->passes_on = false;
	return count;
}

/* Frames of which none has left yet. */
static bool is_whole(const struct session *session)
{
	return session_record(session)->state == SESSION_CONNECTING ||
	       session->direction[0].fill == session->put;
}

/* Removes from the pipe what was sent through another lane. */
static void take_off(struct session *session, uint8_t *scratch, size_t bytes, unsigned messages)
{
	ssize_t n;

	tally_take(session, 0, messages, bytes);
	n = bytes ? read(session_record(session)->direction[0].pipe, scratch, bytes) : 0;
	tally_was_taken(session, 0, true);
	session->direction[0].fill -= n > 0 ? (uint32_t)n : 0;
	if (n != (ssize_t)bytes || !session->direction[0].fill)
		direction_discard_pipe(session, 0);
}

/* A number of waiting messages, which begin at *at; ends[]: where each ends. */
static unsigned take_messages(struct session *session, uint8_t *bytes, size_t n, size_t *at,
			      struct iovec *messages, size_t *ends)
{
	unsigned count = 0;

	while (count < BUFFERS_BATCH && sink_next_waiting(session, bytes, n, at, &messages[count]))
		ends[count++] = *at;
	return count;
}

static void pass_on(struct session *session)
{
	uint8_t *bytes = buffers_aside(session->thread->buffers);
	struct iovec messages[BUFFERS_BATCH];
	size_t ends[BUFFERS_BATCH], at = 0, done = 0;
	unsigned count, taken, total = 0;
	ssize_t n = pipe_look(&session->thread->pipes, session_record(session)->direction[0].pipe,
			      session->direction[0].pipe_size, bytes, session->direction[0].fill);

	do {
		count = n > 0 ? take_messages(session, bytes, (size_t)n, &at, messages, ends) : 0;
		taken = count ? datagram_lanes_offer(session, messages, count) : 0;
		done = taken ? ends[taken - 1] : done;
		total += taken;
	} while (count && taken == count);
	take_off(session, bytes, done, total);
}

bool datagram_lanes_pass_on(struct session *session)
{
	if (!lane_is(session) || !session->direction[0].fill)
		return true;
	if (!session->thread->dispatch->passes_on && session->mover && is_whole(session) &&
	    session->direction[0].fill <= BUFFERS_ASIDE)
		pass_on(session);
	return !session->direction[0].fill;
}
