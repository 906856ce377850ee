/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Adoption. The descriptor table is shared with the keeper, which waits meanwhile; every descriptor
 * that neither the ledger nor the keeper's list names is closed, except a connection that a dead
 * thread was just accepting. What surprised us: epoll sets and eventfds of the dead worker are in
 * the table too, and nothing but this closes them.
 */
#include "dispatch/adopt.h"

#include "base/clock.h"
#include "base/sparse.h"
#include "config/config.h"
#include "config/limit.h"
#include "dispatch/permanent.h"
#include "dispatch/pool.h"
#include "ledger/audit.h"
#include "ledger/closing.h"
#include "ledger/generation.h"
#include "ledger/manifest.h"
#include "ledger/renewal.h"
#include "ledger/validate.h"
#include "move/urgent.h"
#include "net/callback.h"
#include "net/socket.h"
#include "session/session.h"
#include "session/slot.h"
#include "session/tally.h"
#include "session/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	AUDIT_TOLERANCE = 100, /* if more than one in this many is wrong, the audit itself is */
	AUDIT_FEW = 20,	       /* ... and more than so many */
	DIRECTORY_BYTES = 8192,
};

/* A bit for each descriptor number that has an owner. */
struct owned {
	uint8_t *bits;
	int size;
};

static void own(struct owned *owned, int fd)
{
	if (fd >= 0 && fd < owned->size)
		owned->bits[fd / 8] |= (uint8_t)(1 << fd % 8);
}

static bool is_owned(const struct owned *owned, int fd)
{
	return fd < owned->size && owned->bits[fd / 8] & 1 << fd % 8;
}

static int own_one(int32_t *fd, void *data)
{
	own(data, *fd);
	return 0;
}

static void own_all(struct owned *owned, struct ledger *ledger)
{
	const struct ledger_keeper *keeper = ledger->keeper;

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		own(owned, fd);
	for (int i = 0; i < LEDGER_KEEPER_FDS; i++)
		own(owned, keeper->fds[i]);
	own(owned, ledger->fd);
	own(owned, ledger->keeper_wake);
	own(owned, ledger->clerk_wake);
	manifest_visit(ledger, own_one, owned);
}

/* A session's record, about to be adopted: if this heir dies, its successor knows which one it
 * had in hand. */
static struct ledger_session *hold(const struct worker *worker, uint32_t slot)
{
	ledger_hold_adopted(worker->ledger, HAND_SESSION, slot);
	return &worker->ledger->sessions[slot];
}

/* By a reset only if that was intended. If the generation is gone, this is unknown: the sockets
 * are simply closed. */
static void choose_end(const struct worker *worker, const struct ledger_session *record,
		       unsigned side)
{
	const struct config_leg *leg = generation_leg(worker->generations, record, side);

	if (record->state == SESSION_ENDING)
		socket_clear_abort(record->fd[side]);
	else if (leg && leg->row->capabilities & SPLICED_RESET)
		socket_set_abort(record->fd[side]);
}

/* The session was being ended: continue. What its record still names is open. The socket being
 * closed is noted in the clerk's record: the other threads' may still describe what the dead
 * worker did. */
static void end_record(const struct worker *worker, struct ledger_session *record)
{
	struct ledger_thread *clerk = &worker->ledger->threads[worker->ledger->n_threads];

	for (unsigned k = 0; k < 2; k++) {
		int pipe = record->direction[k].pipe, stage = record->stage[k];

		if (record->fd[k] >= 0) {
			choose_end(worker, record, k);
			closing_close(clerk, &record->fd[k], closing_name(record->fd[k]));
		}
		record->direction[k].pipe = record->stage[k] = -1;
		if (pipe >= 0)
			close(pipe);
		if (stage >= 0)
			close(stage);
	}
	record->state = SESSION_FREE;
}

/* Free claimed records: their descriptor has no owner yet. */
static void free_claimed(struct ledger_session *record, struct ledger_flow *flow)
{
	if (record->state != SESSION_CLAIMED)
		return;
	memset(flow, 0, sizeof *flow);
	for (unsigned k = 0; k < 2; k++)
		record->fd[k] = record->direction[k].pipe = record->stage[k] = -1;
	record->state = SESSION_FREE;
}

/* End the sessions that were being ended. Only after the sweep: if this heir dies here, the next
 * one must still find its orphans named. */
static void settle_record(const struct worker *worker, struct ledger_session *record,
			  struct ledger_flow *flow)
{
	switch ((enum ledger_session_state)record->state) {
	case SESSION_FREE:
	case SESSION_CLAIMED:
		return;
	case SESSION_ENDING:
	case SESSION_ABORTING:
		memset(flow, 0, sizeof *flow);
		end_record(worker, record);
		return;
	case SESSION_CONNECTING:
	case SESSION_RELAYING:
		if (generation_find(worker->generations, record->generation))
			return;
		memset(flow, 0, sizeof *flow);
		record->state = SESSION_ABORTING;
		end_record(worker, record);
		return;
	}
}

/* Its listener's socket has been replaced by another. Only a feed's session lives by it alone. */
static bool is_left_behind(const struct worker *worker, const struct ledger_session *record,
			   const struct config_route *route)
{
	return record->front == FRONT_FED &&
	       worker->ledger->listeners[record->listener].state == LISTENER_LEAVING &&
	       route->listen[record->endpoint].legs[record->leg].row->capabilities & SPLICED_FEED;
}

/* After a reload, a datagram session, a feed's and a dial's would never end by themselves. If
 * the route means the same, they continue in it; else a new session replaces a permanent one,
 * and a datagram session at the next message of its peer. */
static void renew_record(const struct worker *worker, struct renewal *renewal, uint32_t slot)
{
	struct ledger_session *record = hold(worker, slot);
	struct ledger_flow *flow = &worker->ledger->flows[slot];
	const struct generation *own = generation_find(worker->generations, record->generation);
	const struct config_route *route = &own->config->routes[record->route];

	if (own == worker->generations && is_left_behind(worker, record, route))
		record->kill = record->kill ? record->kill : END_RELOAD;
	if (own == worker->generations || record->front == FRONT_ACCEPTED ||
	    flow->flags & FLOW_SUPERSEDED)
		return;
	if (renewal && renewal_take(renewal, worker->ledger, slot))
		return;
	if (record->front == FRONT_DIALED ||
	    route->listen[record->endpoint].legs[record->leg].row->capabilities & SPLICED_FEED)
		record->kill = record->kill ? record->kill : END_RELOAD;
	else
		flow->flags |= FLOW_SUPERSEDED;
}

/* Without memory for the map, as if all had changed. */
static void renew_records(const struct worker *worker)
{
	const struct ledger *ledger = worker->ledger;
	struct renewal *renewal = renewal_new(worker->generations);

	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++)
		if (ledger->sessions[i].state != SESSION_FREE)
			renew_record(worker, renewal, i);
	renewal_free(renewal);
}

/* Whether the output differs from the input in bytes: messages, and frames that are framed
 * differently. */
static bool moves_messages(const struct worker *worker, const struct ledger_session *record)
{
	const struct generation *generation =
		generation_find(worker->generations, record->generation);
	const struct config_route *route = &generation->config->routes[record->route];
	const struct config_endpoint *target = &route->targets[record->target];
	const struct config_endpoint *front = record->front == FRONT_DIALED
						      ? &route->dial[record->endpoint]
						      : &route->listen[record->endpoint];
	uint64_t capabilities = front->legs[record->leg].row->capabilities |
				target->legs[record->connect_leg].row->capabilities;

	return capabilities & SPLICED_BOUNDARIES || front->framing != target->framing;
}

/* Sessions that a dead thread had in hand: something of them may be missing. */
static void mark_broken(const struct worker *worker)
{
	struct ledger *ledger = worker->ledger;

	for (uint32_t i = 0; i <= ledger->n_threads; i++) {
		uint64_t hand = ledger->threads[i].hand;
		uint32_t slot = (uint32_t)hand;

		if (hand >> 32 == HAND_SESSION && slot < ledger->n_sessions &&
		    ledger->sessions[slot].state == SESSION_RELAYING &&
		    moves_messages(worker, &ledger->sessions[slot]))
			ledger->flows[slot].flags |= FLOW_BROKEN;
	}
}

/* Recompute every count of what is open: a worker may have died between the action and its
 * count. */
static void count_records(struct worker *worker)
{
	struct ledger *ledger = worker->ledger;

	for (uint32_t i = 0; i < ledger_routes_high(ledger); i++)
		if (ledger->routes[i].used)
			ledger->routes[i].active = 0;
	for (uint32_t i = 0; i <= ledger->n_threads; i++)
		ledger->threads[i].sessions = 0;
	ledger->keeper->sessions_active = 0;
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++) {
		const struct ledger_session *record = &ledger->sessions[i];
		const struct generation *generation =
			generation_find(worker->generations, record->generation);

		if (record->state == SESSION_FREE)
			continue;
		atomic_fetch_add(&ledger->routes[generation->route_slots[record->route]].active, 1);
		atomic_fetch_add(&ledger->keeper->sessions_active, 1);
		atomic_fetch_add(&ledger->threads[record->thread].sessions, 1);
	}
	ledger->keeper->adopted_last = ledger->keeper->sessions_active;
	atomic_fetch_add(&ledger->keeper->adopted_total, ledger->keeper->adopted_last);
}

/* The same of each target, once it is settled which one a session has. */
static void count_targets(const struct worker *worker)
{
	struct ledger *ledger = worker->ledger;

	for (uint32_t i = 0; i < ledger_targets_high(ledger); i++)
		if (ledger->targets[i].used)
			ledger->targets[i].active = 0;
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++) {
		const struct ledger_session *record = &ledger->sessions[i];
		const struct generation *generation =
			generation_find(worker->generations, record->generation);

		if (record->state != SESSION_FREE && pool_counts(record))
			ledger->targets[generation->target_slots[record->route][record->target]]
				.active++;
	}
}

/* MPTCP answers TCP_INFO too, for one of its subflows: its counts prove nothing. */
static bool can_audit(const struct worker *worker, const struct ledger_session *record)
{
	for (unsigned side = 0; side < 2; side++) {
		const struct config_leg *leg = generation_leg(worker->generations, record, side);

		if (!leg || !(leg->row->capabilities & SPLICED_TCP_INFO))
			return false;
	}
	return !moves_messages(worker, record);
}

/* A session that fails the audit is reset, not continued with errors; if many do, the audit is
 * wrong. */
static void audit_records(const struct worker *worker)
{
	struct ledger *ledger = worker->ledger;
	uint32_t wrong = 0, known = 0;
	int64_t missing;

	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++) {
		struct ledger_session *record = &ledger->sessions[i];
		enum audit_result result;

		if (record->state != SESSION_RELAYING || !can_audit(worker, hold(worker, i)))
			continue;
		result = audit_session(record, &missing);
		known += result != AUDIT_UNKNOWN;
		if (result != AUDIT_WRONG)
			continue;
		wrong++;
		if (!record->kill)
			record->kill = END_AUDIT;
	}
	atomic_fetch_add(&ledger->keeper->audit_failures, wrong);
	ledger->keeper->audit_broken =
		wrong > AUDIT_FEW && (uint64_t)wrong * AUDIT_TOLERANCE > known;
	for (uint32_t i = 0; ledger->keeper->audit_broken && i < ledger_sessions_high(ledger); i++)
		if (ledger->sessions[i].kill == END_AUDIT)
			ledger->sessions[i].kill = 0;
}

/* A callback that was running at too many deaths is not called again. */
static bool is_barred(const struct worker *worker, const struct ledger_listener *listener)
{
	const struct generation *generation =
		generation_find(worker->generations, listener->generation);

	return generation &&
	       worker->ledger->routes[generation->route_slots[listener->route]].paused;
}

/* By the family's answer on addresses that match many: then only a connection counts, not a
 * socket that was just opened. */
static bool fits(const struct worker *worker, const struct ledger_listener *listener, int fd,
		 const struct address *own, const struct address *local)
{
	const struct config_leg *leg = generation_listens_by(worker->generations, listener);
	const struct sockaddr *a = address_sockaddr_const(own), *b = address_sockaddr_const(local);

	if (socket_address_fits(own, local))
		return true;
	if (!leg || is_barred(worker, listener) || !leg->family->plugin.fits ||
	    own->storage.ss_family != local->storage.ss_family || !socket_is_connected(fd))
		return false;
	return CALLBACK(leg->family, fits,
			leg->family->plugin.fits(&leg->options, a, own->len, b, local->len)) > 0;
}

/* The listener that a dead thread was accepting from, if this descriptor is one of its
 * connections. */
static bool find_listener(const struct worker *worker, int fd, uint32_t *ret)
{
	const struct ledger *ledger = worker->ledger;
	struct address local, own_address;

	if (socket_local_address(fd, &local) < 0)
		return false;
	for (uint32_t i = 0; i <= ledger->n_threads; i++) {
		uint64_t hand = ledger->threads[i].hand;
		uint32_t index = (uint32_t)hand;
		const struct ledger_listener *listener = &ledger->listeners[index];

		if (hand >> 32 != HAND_LISTENER || index >= ledger_listeners_high(ledger) ||
		    listener->state == LISTENER_FREE)
			continue;
		ledger_hold_adopted(worker->ledger, HAND_LISTENER, index);
		own_address.len = 0;
		for (uint32_t k = 0; k < ledger_sockets(listener) && !own_address.len; k++)
			if (listener->fds[k] < 0 ||
			    socket_netns(listener->fds[k]) != socket_netns(fd) ||
			    socket_local_address(listener->fds[k], &own_address) < 0)
				own_address.len = 0;
		if (!own_address.len || !fits(worker, listener, fd, &own_address, &local))
			continue;
		*ret = index;
		return true;
	}
	return false;
}

/* Whether the worker died of input from the listener: then its connection counts as in hand at a
 * death. */
static bool killed_by(const struct ledger *ledger, uint32_t listener)
{
	for (uint32_t i = 0; i <= ledger->n_threads; i++)
		if (ledger->threads[i].crashed == CRASH_BLAMED &&
		    ledger->threads[i].hand == ((uint64_t)HAND_LISTENER << 32 | listener))
			return true;
	return false;
}

/* A connection that a worker accepted in its last instant becomes a session; its thread checks
 * the peer. */
static bool adopt_orphan(const struct worker *worker, int fd)
{
	struct ledger *ledger = worker->ledger;
	struct ledger_session *record = NULL;
	uint32_t index, slot;

	if (!socket_is_accepted(fd) || !socket_is_fresh(fd) || closing_names(ledger, fd) ||
	    !find_listener(worker, fd, &index))
		return false;
	for (slot = 0; slot < ledger->n_sessions && !record; slot++)
		if (ledger->sessions[slot].state == SESSION_FREE)
			record = &ledger->sessions[slot];
	if (!record)
		return false;
	if (slot > ledger_sessions_high(ledger))
		ledger->keeper->sessions_high = slot;
	slot_init(record, (uint16_t)((slot - 1) % ledger->n_threads));
	slot_accept(ledger, record, &ledger->listeners[index], fd);
	record->deaths = killed_by(ledger, index);
	record->opened = record->active = clock_monotonic();
	atomic_store(&record->state, SESSION_CONNECTING);
	return true;
}

static void sweep_one(const struct worker *worker, const struct owned *owned, int fd)
{
	struct ledger_keeper *keeper = worker->ledger->keeper;

	if (is_owned(owned, fd))
		return;
	if (adopt_orphan(worker, fd)) {
		atomic_fetch_add(&keeper->orphans_adopted, 1);
	} else {
		close(fd);
		atomic_fetch_add(&keeper->orphans_closed, 1);
	}
}

/* No descriptor may be free to read the directory with: it is open from the start; without it
 * each number is tested. */
static void sweep(const struct worker *worker, const struct owned *owned)
{
	int dir = worker->ledger->table_fd;
	_Alignas(struct dirent64) char entries[DIRECTORY_BYTES];
	ssize_t n = dir >= 0 && lseek(dir, 0, SEEK_SET) == 0 ? 0 : -1;

	while (n >= 0 && (n = getdents64(dir, entries, sizeof entries)) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (const void *)(entries + at);

			if (entry->d_name[0] != '.')
				sweep_one(worker, owned, atoi(entry->d_name));
			at += entry->d_reclen;
		}
	for (int fd = STDERR_FILENO + 1; n < 0 && fd < owned->size; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			sweep_one(worker, owned, fd);
}

static void owned_init(struct owned *owned)
{
	owned->size = (int)limit_numbers();
	owned->bits = sparse_new((size_t)owned->size / 8 + 1);
}

/* The dead threads' hand words are needed, by this heir and by the next if this one dies here,
 * until the last orphan has a record. */
void adopt_ledger(struct worker *worker)
{
	struct ledger *ledger = worker->ledger;
	uint64_t began = clock_monotonic();
	struct owned owned;

	callback_state.word = &ledger->keeper->adoption.callback;
	renewal_finish(ledger);
	validate_ledger(ledger, worker->generations);
	owned_init(&owned);
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++)
		free_claimed(&ledger->sessions[i], &ledger->flows[i]);
	own_all(&owned, ledger);
	if (owned.bits)
		sweep(worker, &owned);
	sparse_free(owned.bits, (size_t)owned.size / 8 + 1);
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++)
		if (ledger->sessions[i].state != SESSION_FREE)
			settle_record(worker, hold(worker, i), &ledger->flows[i]);
	count_records(worker);
	tally_adopt(worker);
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++)
		if (ledger->sessions[i].state == SESSION_RELAYING)
			urgent_settle(hold(worker, i));
	if (!worker->planned) {
		audit_records(worker);
		mark_broken(worker);
	}
	renew_records(worker);
	count_targets(worker);
	ledger_hold_adopted(ledger, HAND_EMPTY, 0);
	permanent_find_owners(worker);
	for (uint32_t i = 0; i <= ledger->n_threads; i++) {
		ledger->threads[i].hand = 0;
		ledger->threads[i].closing = 0;
		ledger->threads[i].crashed = 0;
		ledger->threads[i].callback = 0;
	}
	callback_state.word = NULL;
	ledger->keeper->adopt_ns_last = clock_monotonic() - began;
	if (ledger->keeper->adopt_ns_last > ledger->keeper->adopt_ns_max)
		ledger->keeper->adopt_ns_max = ledger->keeper->adopt_ns_last;
}
