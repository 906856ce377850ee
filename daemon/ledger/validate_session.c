/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session's record: its descriptors, its place in its generation, what its state requires, and
 * values used in computations. */
#include "ledger/validate_session.h"

#include "config/config.h"
#include "ledger/claim.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/mend.h"
#include "ledger/validate.h"
#include "net/socket.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	DIRECTION_FLAGS =
		DIRECTION_EOF | DIRECTION_FIN_SENT | DIRECTION_RESET | DIRECTION_FIN_FIRST,
	DIRECTION_FLAGS_URGENT = DIRECTION_URGENT | DIRECTION_URGENT_ODD | DIRECTION_URGENT_STAGED,
	HELD_MAX = 1 << 20, /* messages in a pipe, which has no more bytes */
};

/* One end of a session: a socket, or a file, which is noted in *files. */
static bool claim_end(struct validating *v, const struct ledger_session *record, unsigned k,
		      unsigned *files)
{
	uint64_t cookie = v->ledger->cookies[record - v->ledger->sessions].fd[k];
	int fd = record->fd[k];

	if (cookie && fd > STDERR_FILENO && socket_cookie(fd) != cookie)
		return false; /* another's, who keeps it */
	if (claim_fd(v, fd, S_IFSOCK))
		return true;
	*files |= 1u << k;
	return claim_fd(v, fd, S_IFCHR) || claim_fd(v, fd, S_IFIFO);
}

static bool name_all(struct validating *v, const struct ledger_session *record, unsigned *files)
{
	bool fit = true;

	/* All of them, so that what is named twice is known whichever is wrong. */
	for (int k = 0; k < 2; k++) {
		fit &= claim_end(v, record, (unsigned)k, files);
		fit &= claim_fd(v, record->direction[k].pipe, S_IFIFO);
		fit &= claim_fd(v, record->stage[k], S_IFIFO);
	}
	return fit;
}

static void free_session(struct ledger_session *record, struct ledger_flow *flow)
{
	uint32_t serial = record->serial;

	memset(record, 0, sizeof *record);
	memset(flow, 0, sizeof *flow);
	record->serial = serial;
}

static uint64_t capabilities_of(const struct config_endpoint *endpoint, uint32_t leg)
{
	return endpoint->legs[leg].row->capabilities;
}

/* The listener that a session is fed by is of its kind; a feed has one session. */
static bool is_fed(struct validating *v, const struct ledger_session *record, uint64_t kind)
{
	const struct ledger_listener *listener = &v->ledger->listeners[record->listener];
	const struct config_leg *leg;

	if (record->listener >= ledger_listeners_high(v->ledger))
		return false;
	leg = generation_listens_by(v->generations, listener);
	if (!leg)
		return listener->state ==
		       LISTENER_FREE; /* it has left: its last sessions are ended */
	if ((leg->row->capabilities & (SPLICED_CONNECTIONLESS | SPLICED_FEED)) != kind)
		return false;
	return !(kind & SPLICED_FEED) || claim_feed(v, listener->fds[0]);
}

static bool front_fits(struct validating *v, struct ledger_session *record,
		       const struct config_route *route)
{
	const struct config_endpoint *front = generation_front(route, record);
	uint64_t kind;

	if (!front || record->front > FRONT_DIALED)
		return false;
	/* Of a dial that is not connected yet, a leg is chosen at each attempt. */
	if (record->front == FRONT_DIALED && record->state == SESSION_CONNECTING &&
	    record->leg >= front->n_legs && record->fd[0] == -1)
		mend_half(v, &record->leg, 0);
	if (record->leg >= front->n_legs)
		return false;
	if (record->front == FRONT_DIALED)
		return true;
	kind = capabilities_of(front, record->leg) & (SPLICED_CONNECTIONLESS | SPLICED_FEED);
	if (record->front == FRONT_ACCEPTED)
		return !kind;
	return kind && record->fd[0] == -1 && is_fed(v, record, kind);
}

/* While it connects it may have none, or the leg of the one before: then it takes another. */
static bool target_fits(struct validating *v, struct ledger_session *record,
			const struct config_route *route)
{
	const struct config_endpoint *target = generation_target(route, record);

	if (target && record->connect_leg < target->n_legs)
		return true;
	if (record->state != SESSION_CONNECTING || !route->n_targets)
		return false;
	if (!target)
		mend_word(v, &record->target, 0);
	v->mended += record->fd[1] != -1;
	record->fd[1] = -1; /* to an unknown address: the sweep closes it */
	record->connect_leg = 0;
	record->address = 0;
	record->deadline = 0;
	return true;
}

/* The sockets that it must have by its state. */
static bool sockets_fit(struct validating *v, struct ledger_session *record)
{
	if (record->state == SESSION_RELAYING) {
		if (record->front == FRONT_DIALED)
			mend_byte(v, &record->fronted, 1);
		return record->fd[1] >= 0 && (record->front == FRONT_FED || record->fd[0] >= 0);
	}
	if (record->front == FRONT_DIALED)
		mend_byte(v, &record->fronted, record->fronted && record->fd[0] >= 0);
	return record->front != FRONT_ACCEPTED || record->fd[0] >= 0;
}

static bool directions_fit(const struct ledger_session *record)
{
	for (int d = 0; d < 2; d++)
		if (record->direction[d].flags & DIRECTION_FIN_SENT &&
		    !(record->direction[d].flags & (DIRECTION_EOF | DIRECTION_RESET)))
			return false;
	return true;
}

static bool flow_fits(const struct ledger_flow *flow)
{
	return flow->peer_len <= LEDGER_PEER_MAX && flow->reply_len <= LEDGER_REPLY_MAX &&
	       flow->format_now <= 1 && flow->far_len <= LEDGER_FAR_MAX;
}

static bool lives(const struct ledger_session *record)
{
	return record->state == SESSION_CONNECTING || record->state == SESSION_RELAYING;
}

/* A file is legal only if the row has files. */
static bool kinds_fit(const struct ledger_session *record, const struct config_route *route,
		      unsigned files)
{
	const struct config_endpoint *ends[] = {generation_front(route, record),
						generation_target(route, record)};
	const uint32_t legs[] = {record->leg, record->connect_leg};

	for (unsigned side = 0; side < 2; side++)
		if (record->fd[side] >= 0 && ends[side] && legs[side] < ends[side]->n_legs &&
		    !(capabilities_of(ends[side], legs[side]) & SPLICED_FILE) !=
			    !(files & 1u << side))
			return false;
	return true;
}

static bool session_fits(struct validating *v, struct ledger_session *record,
			 struct ledger_flow *flow, unsigned files)
{
	const struct config_route *route;

	if (!lives(record))
		return record->state == SESSION_ENDING || record->state == SESSION_ABORTING;
	route = generation_route(v->generations, record->generation, record->route);
	return route && front_fits(v, record, route) && target_fits(v, record, route) &&
	       sockets_fit(v, record) && kinds_fit(record, route, files) &&
	       directions_fit(record) && flow_fits(flow);
}

/* Also of one that does not wait: it may have begun to connect a moment ago. */
static void mend_ticket(struct validating *v, struct ledger_flow *flow, uint64_t latest)
{
	mend_time(v, &flow->waits_until, latest);
	if (flow->ticket <= LEDGER_TICKET_MAX)
		return;
	flow->ticket = LEDGER_TICKET_MAX;
	v->mended++;
}

/* Values used in computations. */
static void mend_session(struct validating *v, uint32_t slot, struct ledger_session *record,
			 struct ledger_flow *flow)
{
	const struct config_route *route =
		generation_route(v->generations, record->generation, record->route);

	if (record->thread >= v->ledger->n_threads)
		mend_half(v, &record->thread, (uint16_t)(slot % v->ledger->n_threads));
	mend_time(v, &record->opened, v->now);
	mend_time(v, &record->active, v->now);
	if (record->state == SESSION_CONNECTING && route)
		mend_time(v, &record->deadline, v->now + route->connect_timeout);
	if (record->state == SESSION_CONNECTING && route)
		mend_ticket(v, flow, v->now + route->connect_timeout);
	if (record->rounds > LEDGER_ROUNDS_MAX)
		mend_byte(v, &record->rounds, LEDGER_ROUNDS_MAX);
	/* Only an accepted peer is checked. */
	mend_byte(v, &record->admitted, record->admitted || record->front != FRONT_ACCEPTED);
	mend_byte(v, &record->fronted, record->fronted != 0);
	mend_byte(v, &record->chained,
		  record->chained && flow->chain_depth <= LEDGER_ROUTES_MAX &&
			  flow->chain_slot < v->ledger->n_sessions);
	mend_word(v, &flow->kept, flow->kept <= LEDGER_KEPT_MAX ? flow->kept : 0);
	for (int d = 0; d < 2; d++) {
		uint32_t flags = record->direction[d].flags;

		if (flow->held[d] > (record->direction[d].pipe < 0 ? 0 : HELD_MAX))
			mend_word(v, (uint32_t *)&flow->held[d], 0);
		if (flow->step[d] > HELD_SENT || flow->after[d] > HELD_MAX)
			mend_word(v, (uint32_t *)&flow->step[d], HELD_RESTS);
		mend_word(v, &record->direction[d].flags,
			  flags & DIRECTION_URGENT
				  ? flags & (DIRECTION_FLAGS | DIRECTION_FLAGS_URGENT | 0xffff0000)
				  : flags & DIRECTION_FLAGS);
	}
}

void validate_drop(struct ledger *ledger, uint32_t slot)
{
	free_session(&ledger->sessions[slot], &ledger->flows[slot]);
	ledger->keeper->dropped_sessions++;
}

void validate_session(struct validating *v, uint32_t slot)
{
	struct ledger_session *record = &v->ledger->sessions[slot];
	struct ledger_flow *flow = &v->ledger->flows[slot];
	bool is_there = record->state != SESSION_FREE && record->state != SESSION_CLAIMED;
	/* Also those of a record that is wrong, or marked free: another that names them as well
	 * does so by a wrong word. What releases before this one left in free records is
	 * ignored. */
	unsigned files = 0;
	bool named = (is_there || v->ledger->kept) && name_all(v, record, &files);

	if (!is_there)
		return;
	ledger_hold_adopted(v->ledger, HAND_SESSION, slot);
	if (named && session_fits(v, record, flow, files))
		mend_session(v, slot, record, flow);
	else
		validate_drop(v->ledger, slot);
}
