/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session's round is in its own memory: an heir begins one of its own. The first members that it
 * tries are listed, and skipped; after BALANCE_TRIED_MAX of them it walks through the rest of the
 * pool, each member once, in an order that differs for each walk: start + k * step, modulo a prime.
 */
#include "dispatch/pool.h"

#include "base/clock.h"
#include "config/config.h"
#include "dispatch/peer_key.h"
#include "dispatch/pool_view.h"
#include "dispatch/queue.h"
#include "dispatch/target.h"
#include "dispatch/target_check.h"
#include "ledger/generation.h"
#include "move/mover.h"
#include "session/lane.h"
#include "session/session.h"
#include "session/thread.h"

#include <string.h>

enum { RACES_MAX = 64 }; /* places that were seen, and that others took */

_Static_assert((int)SESSION_ROUND_TRIED == (int)BALANCE_TRIED_MAX, "a session's list is full");

bool pool_row_goes_unheard(const struct spliced_row *row)
{
	return row->capabilities & SPLICED_CONNECTIONLESS &&
	       !(row->capabilities & SPLICED_RELIABLE);
}

static struct pool_view *view_of(const struct session *session)
{
	return pool_view(session->thread, session->generation, session_record(session)->route);
}

static struct ledger_route *route_of(const struct thread *thread,
				     const struct generation *generation, uint32_t route)
{
	return &thread->worker->ledger->routes[generation->route_slots[route]];
}

static uint32_t take_turn(const struct thread *thread, const struct generation *generation,
			  uint32_t route)
{
	return atomic_fetch_add_explicit(&route_of(thread, generation, route)->turn, 1,
					 memory_order_relaxed);
}

static const struct config_member *member_of(const struct session *session, uint32_t member)
{
	return &session->route->targets[member].member;
}

static struct ledger_target *record_of(const struct session *session, uint32_t member)
{
	return target_record(session->thread, session->generation, session_record(session)->route,
			     member);
}

/* ---- how many sessions a member has ---- */

bool pool_counts(const struct ledger_session *record)
{
	return record->state == SESSION_RELAYING ||
	       (record->state == SESSION_CONNECTING && record->deadline &&
		(record->front != FRONT_DIALED || record->fronted));
}

static void count(struct session *session)
{
	uint32_t slot = session->generation->target_slots[session_record(session)->route]
							 [session_record(session)->target];

	session->counted = slot + 1;
}

void pool_adopt(struct session *session)
{
	if (pool_counts(session_record(session)))
		count(session);
}

void pool_uncount(struct session *session)
{
	uint32_t counted = session->counted;

	session->counted = 0;
	if (!counted)
		return;
	atomic_fetch_sub(&session->thread->worker->ledger->targets[counted - 1].active, 1);
	queue_free(session);
}

/* One place of a member, if it has one: exactly, whatever other threads do at the same time. */
static bool take_place(const struct session *session, uint32_t member)
{
	uint32_t slot = session->generation->target_slots[session_record(session)->route][member];
	uint32_t limit = lane_is(session) ? 0 : session->thread->worker->queues->limits[slot];
	_Atomic uint32_t *active = &session->thread->worker->ledger->targets[slot].active;
	uint32_t count = atomic_load(active);

	do
		if (limit && count >= limit)
			return false;
	while (!atomic_compare_exchange_weak(active, &count, count + 1));
	return true;
}

static bool is_tried(const struct session_round *round, uint32_t member)
{
	for (unsigned i = 0; i < round->n_tried; i++)
		if (round->tried[i] == member)
			return true;
	return false;
}

/* It has a place there. Messages that are handed in meanwhile may be framed for the target
 * already. */
static void take_member(struct session *session, uint32_t member)
{
	struct ledger_session *record = session_record(session);

	if (record->front == FRONT_FED)
		mover_forget_frames(session, &session->route->targets[member]);
	record->connect_leg = 0; /* another target may have fewer */
	record->target = member;
	count(session);
	session->round.claims = !lane_is(session) && !target_lives(record_of(session, member),
								   member_of(session, member));
	if (session->round.n_tried < SESSION_ROUND_TRIED)
		session->round.tried[session->round.n_tried++] = (uint16_t)member;
}

/* ---- a round ---- */

bool pool_goes_on(const struct session *session)
{
	return session->round.left > 0 || session->round.spare > 0;
}

void pool_end_round(struct session *session)
{
	session->round = (struct session_round){.left = 0};
}

void pool_begin_anew(struct session *session)
{
	session->round.left = session->round.spare = session->round.walk = 0;
	if (!session->round.leaves)
		pool_end_round(session);
}

void pool_leave_member(struct session *session, bool first)
{
	struct session_round *round = &session->round;
	uint32_t member = session_record(session)->target;

	if (first)
		pool_end_round(session);
	round->leaves = true;
	if (round->n_tried == SESSION_ROUND_TRIED)
		memmove(&round->tried[0], &round->tried[1],
			sizeof round->tried[0] * --round->n_tried);
	if (!is_tried(round, member))
		round->tried[round->n_tried++] = (uint16_t)member;
}

static void begin_round(struct session *session, const struct pool_view *view)
{
	struct session_round *round = &session->round;

	round->walk = 0;
	round->down = lane_is(session) || !view->balance.n;
	round->left = lane_is(session) ? 1 : round->down ? view->size : view->balance.n;
	round->spare = !round->down && view->has_spares ? view->size : 0;
	round->spared = view->rank << 32 | UINT32_MAX;
	if (round->down && !lane_is(session)) /* a lane's member was chosen by its message */
		round->walk = round->n_tried ? round->tried[round->n_tried - 1] + 1u
					     : take_turn(session->thread, session->generation,
							 session_record(session)->route);
}

/* All are down. If connect(2) does not contact the target, every session may try. */
static bool may_be_asked(const struct session *session, uint32_t member)
{
	if (!target_weight(record_of(session, member), member_of(session, member)) ||
	    target_is_left_to_checks(record_of(session, member), member_of(session, member)))
		return false;
	if (pool_row_goes_unheard(session->route->targets[member].legs[0].row))
		return true;
	return target_may_be_asked(session->thread, session->generation,
				   session_record(session)->route, member,
				   session->thread->loop.now + session->route->connect_timeout);
}

static uint32_t next_of_all(struct session *session)
{
	struct session_round *round = &session->round;

	while (round->left) {
		uint32_t member = round->walk++ % session->route->n_targets;

		round->left--;
		if (!may_be_asked(session, member))
			continue;
		if (take_place(session, member))
			return member;
		target_release(record_of(session, member));
	}
	return BALANCE_NOBODY;
}

/* One that is down, whose time is up, and that no other session is trying. */
static uint32_t claim_probe(const struct thread *thread, const struct generation *generation,
			    uint32_t route, const struct pool_view *view)
{
	uint64_t now = thread->loop.now;
	uint32_t member, number;
	struct ledger_target *record;

	if (!view->n_probes)
		return BALANCE_NOBODY;
	number = route_of(thread, generation, route)->turn;
	member = pool_view_probe(view, number % view->n_probes);
	record = target_record(thread, generation, route, member);
	if (atomic_load_explicit(&record->down_until, memory_order_relaxed) > now ||
	    !target_claim(record, now, now + generation->config->routes[route].connect_timeout))
		return BALANCE_NOBODY;
	return member;
}

/* After those that are listed as tried. */
static uint32_t walk(struct session *session, const struct pool_view *view)
{
	struct session_round *round = &session->round;

	if (!round->walk)
		round->seed = balance_mix(take_turn(session->thread, session->generation,
						    session_record(session)->route));
	while (round->walk < view->prime) {
		uint64_t step = 1 + (round->seed >> 32) % (view->prime - 1);
		uint32_t member =
			(uint32_t)(((uint32_t)round->seed + round->walk++ * step) % view->prime);

		uint32_t found = balance_find(&view->balance, member);

		if (found != BALANCE_NOBODY && !is_tried(round, member) &&
		    balance_has_place(&view->balance, found))
			return member;
	}
	return BALANCE_NOBODY;
}

/* The others did not answer: backups, and members of later priorities, in the order of both. */
static uint32_t next_spare(struct session *session, const struct pool_view *view)
{
	struct session_round *round = &session->round;
	uint32_t route = session_record(session)->route;
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; round->spare && i < view->size; i++) {
		uint64_t at =
			pool_view_rank(session->thread, session->generation, route, i) << 32 | i;

		if (at > round->spared && at < next && !is_tried(round, i) &&
		    pool_view_lives(session->thread, session->generation, route, i))
			next = at;
	}
	round->spare = next == UINT64_MAX ? 0 : round->spare - 1;
	round->spared = next;
	return next == UINT64_MAX ? BALANCE_NOBODY : (uint32_t)next;
}

static uint32_t choose(struct session *session, const struct pool_view *view)
{
	struct session_round *round = &session->round;
	struct ledger_route *route =
		route_of(session->thread, session->generation, session_record(session)->route);
	const struct balance_ask ask = {
		.turn = &route->turn,
		.retry_turn = &route->retry_turn,
		.tried = round->tried,
		.n_tried = round->n_tried,
		.key = session->route->balance == BALANCE_SOURCE ? peer_key_of_session(session) : 0,
	};
	uint32_t freed = queue_has(session) ? pool_view_freed(view) : BALANCE_NOBODY;

	if (freed != BALANCE_NOBODY)
		return freed;
	if (round->n_tried == SESSION_ROUND_TRIED)
		return walk(session, view);
	return balance_choose(&view->balance, session->route->balance, &ask);
}

/* Another thread may take the place that was seen. */
static uint32_t take_chosen(struct session *session, const struct pool_view *view)
{
	session->round.left--;
	for (int i = 0; i < RACES_MAX; i++) {
		uint32_t member = choose(session, view);

		if (member == BALANCE_NOBODY || take_place(session, member))
			return member;
	}
	return BALANCE_NOBODY;
}

/* A backup is for what the others do not answer, not for what they have no place for. */
static uint32_t choose_and_take(struct session *session, struct pool_view *view)
{
	uint32_t member = BALANCE_NOBODY;

	if (session->round.left)
		member = take_chosen(session, view);
	if (member != BALANCE_NOBODY || !pool_view_has_place(view))
		return member;
	do
		member = next_spare(session, view);
	while (member != BALANCE_NOBODY && !take_place(session, member));
	return member;
}

/* The record requests that the same member is tried once more. */
static uint32_t take_wish(struct session *session)
{
	struct ledger_session *record = session_record(session);
	uint32_t wish = record->cursor;

	record->cursor = 0;
	if (!wish)
		return BALANCE_NOBODY;
	wish = (wish - 1) % session->route->n_targets;
	return target_lives(record_of(session, wish), member_of(session, wish)) &&
			       !target_is_disabled(record_of(session, wish))
		       ? wish
		       : BALANCE_NOBODY;
}

/* A member that is down, and that no other session tries, with a place for this one. */
static uint32_t take_probe(struct session *session, const struct pool_view *view)
{
	uint32_t member = claim_probe(session->thread, session->generation,
				      session_record(session)->route, view);

	if (member == BALANCE_NOBODY || take_place(session, member))
		return member;
	target_release(record_of(session, member));
	return BALANCE_NOBODY;
}

static uint32_t next_member(struct session *session, struct pool_view *view)
{
	bool begins = !pool_goes_on(session);
	uint32_t member;

	if (begins)
		begin_round(session, view);
	if (lane_is(session)) {
		session->round.left--;
		member = lane_member(session);
		return take_place(session, member) ? member : BALANCE_NOBODY;
	}
	member = take_wish(session);
	if (member != BALANCE_NOBODY && take_place(session, member))
		return member;
	if (session->round.down)
		return next_of_all(session);
	member = begins ? take_probe(session, view) : BALANCE_NOBODY;
	return member != BALANCE_NOBODY ? member : choose_and_take(session, view);
}

enum pool_result pool_next(struct session *session)
{
	struct pool_view *view = view_of(session);
	uint32_t member;

	pool_uncount(session);
	if (view->balance.n && queue_holds(session))
		return POOL_FULL;
	member = next_member(session, view);
	if (member == BALANCE_NOBODY)
		return pool_view_has_place(view) ? POOL_NOBODY : POOL_FULL;
	take_member(session, member);
	if (session_record(session)->front == FRONT_FED)
		mover_plan(session);
	return POOL_TAKEN;
}

/* ---- what is known of the others ---- */

bool pool_is_down(const struct session *session)
{
	return !view_of(session)->balance.n;
}

bool pool_has_another(const struct session *session)
{
	const struct balance *balance = &view_of(session)->balance;

	return balance->n > 1 ||
	       (balance->n && balance->members[0] != session_record(session)->target);
}

bool pool_has_one_that_works(const struct session *session)
{
	const struct ledger_session *record = session_record(session);
	const struct balance *balance = &view_of(session)->balance;

	for (uint32_t i = 0; i < balance->n; i++)
		if (balance->members[i] != record->target &&
		    !target_fails(session->thread, session->generation, record->route,
				  balance->members[i]))
			return true;
	return false;
}

/* ---- lanes ---- */

uint32_t pool_choose_another(const struct pool_sender *sender, const uint16_t *tried,
			     unsigned n_tried)
{
	struct ledger_route *record = route_of(sender->thread, sender->generation, sender->route);
	const struct balance_ask ask = {
		.turn = &record->turn,
		.retry_turn = &record->retry_turn,
		.tried = tried,
		.n_tried = n_tried,
		.key = sender->key,
	};

	return balance_choose(
		&pool_view(sender->thread, sender->generation, sender->route)->balance,
		sender->generation->config->routes[sender->route].balance, &ask);
}

bool pool_may_choose(const struct pool_sender *sender, uint32_t member)
{
	return balance_find(&pool_view(sender->thread, sender->generation, sender->route)->balance,
			    member) != BALANCE_NOBODY;
}

/* Where all are down, the next of them. */
uint32_t pool_choose(const struct pool_sender *sender)
{
	const struct pool_view *view = pool_view(sender->thread, sender->generation, sender->route);
	uint32_t member, turn;

	if (!view->balance.n && !view->n_probes)
		return BALANCE_NOBODY;
	if (!view->balance.n) {
		turn = take_turn(sender->thread, sender->generation, sender->route);
		return pool_view_probe(view, turn % view->n_probes);
	}
	member = claim_probe(sender->thread, sender->generation, sender->route, view);
	return member != BALANCE_NOBODY ? member : pool_choose_another(sender, NULL, 0);
}
