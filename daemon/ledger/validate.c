/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Validation. It owns a byte for each descriptor number: who names it. Always true: what is taken
 * from a record as an index, a length, a count or a shift by whoever adopts it has been held
 * against a bound here. What surprised us: a mark of how far a table was used is no more than one
 * of its words; which pages of a memfd were ever written to, the kernel knows (SEEK_DATA).
 */
#include "ledger/validate.h"

#include "base/clock.h"
#include "base/index.h"
#include "base/log.h"
#include "base/sparse.h"
#include "config/config.h"
#include "config/limit.h"
#include "ledger/extent.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "net/socket.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	DIRECTION_FLAGS =
		DIRECTION_EOF | DIRECTION_FIN_SENT | DIRECTION_RESET | DIRECTION_FIN_FIRST,
	DIRECTION_FLAGS_URGENT = DIRECTION_URGENT | DIRECTION_URGENT_ODD | DIRECTION_URGENT_STAGED,
	HELD_MAX = 1 << 20,	  /* messages in a pipe, which has no more bytes */
	DOWN_MAX_SECONDS = 3600,  /* no target is held to be down for longer */
	ASKED_MAX_SECONDS = 3600, /* nor kept for the session that asks it */
};

/* Marks of a descriptor number. */
enum {
	NAMED = 1,
	NAMED_TWICE = 2,
	KEPT = 4 /* the keeper's own, or a listener's */,
	FED = 8 /* a feed's, and it has its session */
};

struct validating {
	struct ledger *ledger;
	struct generation *generations;
	uint8_t *numbers; /* by descriptor; NULL: no memory, and they are not told apart */
	int n_numbers;
	uint64_t now;
	uint64_t mended;
	bool twice; /* some are named twice */
};

/* ---- descriptors ---- */

static void keep(const struct validating *v, int fd)
{
	if (fd >= 0 && fd < v->n_numbers && v->numbers)
		v->numbers[fd] = KEPT;
}

static void keep_own(const struct validating *v)
{
	const struct ledger *ledger = v->ledger;

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		keep(v, fd);
	for (int i = 0; i < LEDGER_KEEPER_FDS; i++)
		keep(v, ledger->keeper->fds[i]);
	for (int i = 0; i < PASSED_MAX; i++)
		if (*ledger->keeper->passed[i].name)
			keep(v, ledger->keeper->passed[i].fd);
	for (const struct generation *g = v->generations; g; g = g->next)
		keep(v, g->fd);
	keep(v, ledger->fd);
	keep(v, ledger->table_fd);
	keep(v, ledger->keeper_wake);
	keep(v, ledger->clerk_wake);
	keep(v, ledger->control_fd);
}

/* A descriptor that a record names: open, of that kind (S_IFSOCK, S_IFIFO), and not one that is
 * kept. -1 is none. */
static bool name(struct validating *v, int fd, mode_t kind)
{
	struct stat status;

	if (fd == -1)
		return true;
	if (fd <= STDERR_FILENO || fd >= v->n_numbers || fstat(fd, &status) < 0 ||
	    (status.st_mode & S_IFMT) != kind)
		return false;
	if (!v->numbers)
		return true;
	if (v->numbers[fd] & KEPT)
		return false;
	v->twice |= v->numbers[fd] & NAMED;
	v->numbers[fd] |= v->numbers[fd] & NAMED ? NAMED_TWICE : NAMED;
	return true;
}

/* One end of a session: a socket, or a file, which is noted in *files. */
static bool name_end(struct validating *v, int fd, unsigned k, unsigned *files)
{
	if (name(v, fd, S_IFSOCK))
		return true;
	*files |= 1u << k;
	return name(v, fd, S_IFCHR) || name(v, fd, S_IFIFO);
}

static bool name_all(struct validating *v, const struct ledger_session *record, unsigned *files)
{
	bool fit = true;

	/* All of them, so that what is named twice is known whichever is wrong. */
	for (int k = 0; k < 2; k++) {
		fit &= name_end(v, record->fd[k], (unsigned)k, files);
		fit &= name(v, record->direction[k].pipe, S_IFIFO);
		fit &= name(v, record->stage[k], S_IFIFO);
	}
	return fit;
}

static bool is_named_twice(const struct validating *v, int fd)
{
	return fd >= 0 && fd < v->n_numbers && v->numbers[fd] & NAMED_TWICE;
}

/* ---- words that are put right ---- */

static void mend_word(struct validating *v, uint32_t *word, uint32_t value)
{
	v->mended += *word != value;
	*word = value;
}

static void mend_half(struct validating *v, uint16_t *word, uint16_t value)
{
	v->mended += *word != value;
	*word = value;
}

static void mend_byte(struct validating *v, uint8_t *byte, uint8_t value)
{
	v->mended += *byte != value;
	*byte = value;
}

static void mend_time(struct validating *v, uint64_t *time, uint64_t latest)
{
	v->mended += *time > latest;
	*time = *time > latest ? latest : *time;
}

/* ---- sessions ---- */

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
	int fd;

	if (record->listener >= ledger_listeners_high(v->ledger))
		return false;
	leg = generation_listens_by(v->generations, listener);
	fd = listener->fds[0];
	if (!leg)
		return listener->state ==
		       LISTENER_FREE; /* it has left: its last sessions are ended */
	if ((leg->row->capabilities & (SPLICED_CONNECTIONLESS | SPLICED_FEED)) != kind)
		return false;
	if (!(kind & SPLICED_FEED) || !v->numbers || fd < 0 || fd >= v->n_numbers)
		return true;
	if (v->numbers[fd] & FED)
		return false;
	v->numbers[fd] |= FED;
	return true;
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
	record->fd[1] = -1; /* to nobody knows where: the sweep closes it */
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

/* A file stands where the row has files, and nowhere else. */
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

/* What would be computed with. */
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
	if (record->rounds > LEDGER_ROUNDS_MAX)
		mend_byte(v, &record->rounds, LEDGER_ROUNDS_MAX);
	/* Only who was accepted is asked who he is. */
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

static void validate_session(struct validating *v, uint32_t slot)
{
	struct ledger_session *record = &v->ledger->sessions[slot];
	struct ledger_flow *flow = &v->ledger->flows[slot];
	bool is_there = record->state != SESSION_FREE && record->state != SESSION_CLAIMED;
	/* Also those of a record that is wrong, or says that it is free: another that names them as
	 * well has come to them by a wrong word. What releases before this one left in free records
	 * means nothing. */
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

/* ---- listeners ---- */

/* One that is listened on has a socket in each of its places: it was one for all, or one a
 * thread. */
static bool has_sockets(struct validating *v, struct ledger_listener *record, uint32_t open)
{
	if (record->state != LISTENER_OPEN || (open && open == record->n_fds))
		return true;
	if (open != 1 || record->fds[0] == -1)
		return false;
	mend_word(v, &record->n_fds, 1);
	return true;
}

/* The keeper is about to open it, for a configuration that no worker knows yet: its sockets come
 * one by one. */
static bool is_being_opened(const struct validating *v, const struct ledger_listener *record)
{
	return record->state == LISTENER_PENDING &&
	       record->generation == v->generations->number + 1;
}

static bool listener_fits(struct validating *v, struct ledger_listener *record)
{
	bool opening = is_being_opened(v, record);
	uint32_t open = 0;

	if (record->state > LISTENER_WAITING || record->n_fds > ledger_sockets(record) ||
	    (!opening && !generation_listens_by(v->generations, record)))
		return false;
	for (uint32_t k = 0; k < record->n_fds; k++) {
		if (!name(v, record->fds[k], S_IFSOCK) || is_named_twice(v, record->fds[k]))
			return false;
		open += record->fds[k] != -1;
	}
	return opening || has_sockets(v, record, open);
}

/* Its last socket was closed, and the worker died. */
static bool has_left(const struct ledger_listener *record)
{
	for (uint32_t k = 0; k < ledger_sockets(record); k++)
		if (record->fds[k] != -1)
			return false;
	return record->state == LISTENER_LEAVING;
}

static void drop_listener(struct validating *v, struct ledger_listener *record)
{
	memset(record, 0, sizeof *record);
	v->ledger->keeper->dropped_listeners++;
}

/* Whether its socket is bound to where its place in the configuration says. */
static bool is_bound_there(const struct validating *v, const struct ledger_listener *record)
{
	const struct config_leg *leg = generation_listens_by(v->generations, record);
	struct address address;

	return leg && record->n_fds && !socket_local_address(record->fds[0], &address) &&
	       socket_address_fits(&leg->address, &address);
}

static uint64_t place_hash(const struct ledger_listener *record)
{
	const uint32_t place[] = {record->generation, record->route, record->endpoint, record->leg};

	return index_hash(place, sizeof place, 0);
}

/* Two that are listened on in one place: the one that is bound elsewhere has come there by a wrong
 * word. */
static void part_those_in_one_place(struct validating *v)
{
	struct index index = {0};

	for (uint32_t i = 0; i < ledger_listeners_high(v->ledger); i++) {
		struct ledger_listener *record = &v->ledger->listeners[i];
		uint32_t other;

		if (record->state != LISTENER_OPEN)
			continue;
		if (!index_next(&index, place_hash(record), &(size_t){0}, &other)) {
			if (index_add(&index, place_hash(record), i) < 0)
				break;
			continue;
		}
		if (is_bound_there(v, &v->ledger->listeners[other]) || !is_bound_there(v, record)) {
			drop_listener(v, record);
			continue;
		}
		index_remove(&index, place_hash(record), other);
		drop_listener(v, &v->ledger->listeners[other]);
		if (index_add(&index, place_hash(record), i) < 0)
			break;
	}
	index_done(&index);
}

/* What a listener has, no session has. */
static void validate_listener(struct validating *v, uint32_t index)
{
	struct ledger_listener *record = &v->ledger->listeners[index];

	if (record->state == LISTENER_FREE)
		return;
	ledger_hold_adopted(v->ledger, HAND_LISTENER, index);
	if (!listener_fits(v, record)) {
		drop_listener(v, record);
		return;
	}
	if (has_left(record))
		record->state = LISTENER_FREE;
	for (uint32_t k = 0; k < record->n_fds; k++)
		keep(v, record->fds[k]);
}

/* ---- what else there is ---- */

static bool control_fits(struct validating *v, const struct ledger_control *record)
{
	struct ledger_keeper *keeper = v->ledger->keeper;

	if (record->state > CONTROL_RELOADING || record->fd < 0 || !name(v, record->fd, S_IFSOCK))
		return false;
	/* The worker died before it asked. */
	if (record->state == CONTROL_RELOADING && record->asked == keeper->reload_asked + 1)
		keeper->reload_asked = record->asked;
	return record->state != CONTROL_RELOADING || record->asked <= keeper->reload_asked;
}

static void drop_control(struct validating *v, struct ledger_control *record)
{
	*record = (struct ledger_control){.fd = -1};
	v->ledger->keeper->dropped_controls++;
}

static void validate_controls(struct validating *v)
{
	for (uint32_t i = 0; i < LEDGER_CONTROLS_MAX; i++) {
		struct ledger_control *record = &v->ledger->controls[i];

		if (record->state != CONTROL_FREE && !control_fits(v, record))
			drop_control(v, record);
	}
}

static void validate_target(struct validating *v, struct ledger_target *record)
{
	bool fit = record->n_addresses <= LEDGER_ADDRESSES_MAX;

	for (uint32_t i = 0; fit && i < record->n_addresses; i++)
		fit = record->addresses[i].len <= sizeof record->addresses[i].bytes;
	if (!fit)
		mend_word(v, &record->n_addresses, 0); /* its name is resolved again */
	if (record->down_until > v->now + DOWN_MAX_SECONDS * NSEC_PER_SEC) {
		record->down_until = 0;
		v->mended++;
	}
	if (record->asked_until > v->now + ASKED_MAX_SECONDS * NSEC_PER_SEC) {
		record->asked_until = 0;
		v->mended++;
	}
	if (record->failed_at > v->now) {
		record->failed_at = v->now;
		v->mended++;
	}
	if (record->down_since > v->now) {
		record->down_since = 0;
		v->mended++;
	}
	if (record->up_since > v->now) {
		record->up_since = 0;
		v->mended++;
	}
	record->name[sizeof record->name - 1] = '\0';
}

static void validate_route(struct validating *v, struct ledger_route *record)
{
	if (record->limit_at > v->now) {
		record->limit_at = 0;
		v->mended++;
	}
	if (record->paused > ROUTE_CLOSED) {
		record->paused = ROUTE_RUNS;
		v->mended++;
	}
	record->name[sizeof record->name - 1] = record->family[sizeof record->family - 1] = '\0';
}

static void validate_keeper(struct validating *v)
{
	struct ledger_keeper *keeper = v->ledger->keeper;
	uint32_t high = extent_used(v->ledger->fd, v->ledger->header, LEDGER_SESSIONS);

	v->mended += keeper->sessions_high > v->ledger->n_sessions;
	keeper->sessions_high = high;
	keeper->last_death[sizeof keeper->last_death - 1] = '\0';
	keeper->config_path[sizeof keeper->config_path - 1] =
		keeper->control_path[sizeof keeper->control_path - 1] = '\0';
	keeper->unread[sizeof keeper->unread - 1] = '\0';
	v->ledger->text[LEDGER_TEXT_MAX - 1] = '\0';
}

/* Nobody knows whose it is. */
static void drop_those_named_twice(struct validating *v)
{
	for (uint32_t i = 0; i < ledger_sessions_high(v->ledger); i++) {
		const struct ledger_session *record = &v->ledger->sessions[i];
		bool twice = false;

		for (int k = 0; record->state > SESSION_CLAIMED && k < 2; k++)
			twice |= is_named_twice(v, record->fd[k]) ||
				 is_named_twice(v, record->direction[k].pipe) ||
				 is_named_twice(v, record->stage[k]);
		if (twice)
			validate_drop(v->ledger, i);
	}
	for (uint32_t i = 0; i < LEDGER_CONTROLS_MAX; i++)
		if (v->ledger->controls[i].state != CONTROL_FREE &&
		    is_named_twice(v, v->ledger->controls[i].fd))
			drop_control(v, &v->ledger->controls[i]);
}

/* A place that somebody was writing to when he died, is free. */
static void free_busy_places(struct ledger *ledger)
{
	for (uint32_t i = 0; i < LEDGER_KEPT_MAX; i++)
		if (ledger->firsts[i].owner == KEPT_BUSY)
			ledger->firsts[i].owner = KEPT_FREE;
}

/* The count that a thread left unfinished. */
static void validate_thread(struct validating *v, struct ledger_thread *record)
{
	if (record->batch > BATCH_SENT || record->batch_size > LEDGER_BATCH_MAX ||
	    record->batch_route >= LEDGER_ROUTES_MAX || record->batch_direction > 1) {
		mend_word(v, (uint32_t *)&record->batch, BATCH_NONE);
		record->batch_size = record->batch_route = record->batch_direction = 0;
	}
}

void validate_ledger(struct ledger *ledger, struct generation *generations)
{
	struct validating v = {.ledger = ledger,
			       .generations = generations,
			       .now = clock_monotonic(),
			       .n_numbers = (int)limit_numbers()};

	v.numbers = sparse_new((size_t)v.n_numbers);
	validate_keeper(&v);
	keep_own(&v);
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		validate_listener(&v, i);
	if (!ledger->kept) /* else the keeper has said so */
		part_those_in_one_place(&v);
	for (uint32_t i = 0; i < ledger_routes_high(ledger); i++)
		validate_route(&v, &ledger->routes[i]);
	for (uint32_t i = 0; i < ledger_targets_high(ledger); i++)
		validate_target(&v, &ledger->targets[i]);
	validate_controls(&v);
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++)
		validate_session(&v, i);
	for (uint32_t i = 0; i <= ledger->n_threads; i++)
		validate_thread(&v, &ledger->threads[i]);
	if (v.twice)
		drop_those_named_twice(&v);
	free_busy_places(ledger);
	ledger_hold_adopted(ledger, HAND_EMPTY, 0);
	ledger->keeper->mended += v.mended;
	sparse_free(v.numbers, (size_t)v.n_numbers);
}

struct validation validate_sums(const struct ledger *ledger)
{
	const struct ledger_keeper *keeper = ledger->keeper;

	return (struct validation){keeper->dropped_sessions, keeper->dropped_listeners,
				   keeper->dropped_controls, keeper->mended};
}

void validate_log(const struct ledger *ledger, const struct validation *before)
{
	struct validation now = validate_sums(ledger);
	unsigned long long sessions = now.sessions - before->sessions,
			   listeners = now.listeners - before->listeners,
			   controls = now.controls - before->controls,
			   mended = now.mended - before->mended;

	if (sessions || listeners || controls)
		log_error(
			"the ledger contained impossible values, written by a crashed or faulty worker: %llu sessions, %llu listeners and "
			"%llu control connections are dropped, %llu words corrected",
			sessions, listeners, controls, mended);
	else if (mended)
		log_error(
			"the ledger contained impossible values, written by a crashed or faulty worker: %llu words corrected",
			mended);
}
