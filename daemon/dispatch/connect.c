/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connecting. The progress is in the record: which target, how many were tried, which member of the
 * pool is next, the number of rounds, the attempt's deadline; an heir continues from there, with a
 * round of its own. Always true: a descriptor is in the record before connect(2) is called on it.
 * What surprised us: connect(2) to a UNIX socket whose backlog is full fails with EAGAIN at once,
 * and there is no event when there is room, so that it is retried.
 */
#include "dispatch/connect.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "dispatch/arrival.h"
#include "dispatch/chain.h"
#include "dispatch/demand.h"
#include "dispatch/interface.h"
#include "dispatch/pool.h"
#include "dispatch/queue.h"
#include "dispatch/race.h"
#include "dispatch/round.h"
#include "dispatch/session_log.h"
#include "dispatch/target.h"
#include "ledger/generation.h"
#include "move/mover.h"
#include "move/roam.h"
#include "net/fault.h"
#include "net/scope.h"
#include "net/socket.h"
#include "session/direction.h"
#include "session/endpoint_socket.h"
#include "session/lane.h"
#include "session/session.h"
#include "session/slot.h"
#include "session/thread.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	FULL_BACKLOG_MS = 2, /* before a UNIX listener whose backlog is full is asked again, doubled
				each time, */
	FULL_BACKLOG_DOUBLINGS = 5, /* so often: many clients may wait for it, and the kernel
				     * does not report when there is room */
	NO_DESCRIPTOR_MS = 50,
	UNWATCHED_MS = 20,
};

int connect_fd(const struct session *session)
{
	return session_record(session)->fd[session_connecting_side(session)];
}

static const struct config_endpoint *endpoint_of(const struct session *session)
{
	return session_endpoint(session, session_connecting_side(session));
}

static void wait_until(struct session *session, uint64_t at)
{
	timer_set(&session->thread->loop.timers, &session->timer, at);
}

static void wait_ms(struct session *session, uint64_t ms)
{
	wait_until(session, session->thread->loop.now + ms * NSEC_PER_MSEC);
}

static void close_attempt(struct session *session)
{
	unsigned which = session_connecting_side(session);
	struct side *side = &session->side[which];

	chain_forget(session, which);
	side->readable = side->hangup = side->failed = side->gone = side->unwatched = false;
	if (which)
		roam_end(session);
	session_close(session, which);
}

void connect_forget(struct session *session)
{
	struct ledger_session *record = session_record(session);

	record->attempts = 0;
	record->rounds = 0;
	record->address = 0;
	record->deadline = 0;
	pool_begin_anew(session);
}

static void note_tried(struct session *session, int error)
{
	if (!session_connecting_side(session))
		return;
	if (session->n_tried == SESSION_TRIED_MAX)
		memmove(&session->tried[0], &session->tried[1],
			sizeof session->tried[0] * --session->n_tried);
	session->tried[session->n_tried].target = (uint16_t)session_record(session)->target;
	session->tried[session->n_tried++].error = (uint16_t)-error;
}

/* A lane can end if there is another member, and what waited for it has gone there. */
static bool gives_way(struct session *session)
{
	return session_connecting_side(session) && lane_is(session) &&
	       pool_has_one_that_works(session) && mover_pass_on(session);
}

/* First of all in the record: an heir must not count it where another has its place. */
static void end_attempt(struct session *session)
{
	session_record(session)->address = 0;
	session_record(session)->deadline = 0;
	pool_uncount(session);
}

/* Its unit is being started: no attempt, unless nothing else ends it. */
static enum connect_result wait_for_unit(struct session *session, int error)
{
	struct ledger_session *record = session_record(session);

	if (session->round.claims)
		target_release(session_target(session));
	if (!session->route->retry_total && record->attempts < UINT32_MAX)
		record->attempts++;
	end_attempt(session);
	if (round_is_given_up(session))
		return round_give_up(session, error);
	if (pool_goes_on(session))
		return CONNECT_NEXT;
	round_end(session, true);
	return CONNECT_WAITS;
}

/* No address of this target answered. CONNECT_NEXT: another of this round may be tried now. */
static enum connect_result next_target(struct session *session, int error)
{
	struct ledger_session *record = session_record(session);
	struct ledger_counter *counter = session_counter(session);

	race_end(session);
	if (demand_excuses(session))
		return wait_for_unit(session, error);
	target_failed(session->thread->worker->ledger, session_target(session),
		      &endpoint_of(session)->member, session->thread->loop.now, error);
	ledger_count(&counter->connect_errors, 1);
	if (record->attempts < UINT32_MAX)
		record->attempts++;
	end_attempt(session);
	if (round_is_given_up(session) || gives_way(session))
		return round_give_up(session, error);
	note_tried(session, error);
	if (pool_goes_on(session))
		return CONNECT_NEXT;
	round_end(session, false);
	return CONNECT_WAITS;
}

static void note_reached(struct session *session)
{
	struct address address;
	unsigned leg;

	if (endpoint_of(session)->legs[0].host_name &&
	    arrival_address(session, race_address(session), &leg, &address))
		session_log_reached(session, &address);
}

static enum connect_result reached(struct session *session)
{
	struct ledger_session *record = session_record(session);

	if (session_connecting_side(session))
		note_reached(session);
	record->address = (uint16_t)race_address(session);
	race_end(session);
	/* Without a handshake, success is no proof that the target is up. */
	if (!pool_row_goes_unheard(session_row(session, session_connecting_side(session))))
		target_succeeded(session->thread->worker->ledger, session_target(session),
				 record->address);
	demand_reached(session);
	session->proven = false;
	if (session_connecting_side(session))
		return CONNECT_REACHED;
	/* The front of a dialed session; now its target. */
	connect_forget(session);
	record->fronted = 1;
	return connect_begin(session);
}

/* There is no peer to connect to: the family binds it to where it sends. */
static bool is_bound(const struct session *session)
{
	return session_row(session, session_connecting_side(session))->capabilities & SPLICED_BINDS;
}

/* There is no peer to connect to either: it is there once it is open. */
static bool is_file(const struct session *session)
{
	return session_row(session, session_connecting_side(session))->capabilities & SPLICED_FILE;
}

/* The family's reason for refusing is logged once for a session, however often it is tried. */
static int open_socket(struct session *session, const struct config_endpoint *endpoint,
		       unsigned leg)
{
	struct report report = {0};
	int fd;

	config_hear(session->generation->config, session->route, endpoint, &endpoint->legs[leg],
		    &report);
	fd = endpoint_socket_open(endpoint, leg);
	config_hear_nothing();
	if (fd < 0 && report.text && !session_record(session)->attempts)
		log_warning("%.*s", (int)strcspn(report.text, "\n"), report.text);
	report_done(&report);
	return fd;
}

/* Until the next address is tried, too, or instead. */
static uint64_t attempt_time(const struct session *session, unsigned index, unsigned count)
{
	uint64_t share =
		(session_record(session)->deadline - session->thread->loop.now) / (count - index);
	uint64_t delay =
		(race_has_room(session) ? RACE_DELAY_MS : RACE_FULL_MS) * UINT64_C(1000000);

	return index + 1 < count && delay < share && race_is_possible(session) ? delay : share;
}

/* One address. 0: connected or in progress; -EAGAIN: retried later; other: failed. */
static int try_address(struct session *session, unsigned index, unsigned count)
{
	struct ledger_session *record = session_record(session);
	struct thread *thread = session->thread;
	const struct config_endpoint *endpoint = endpoint_of(session);
	unsigned leg, side = session_connecting_side(session);
	struct address address;
	int fd, r;

	session->race_won = false;
	if (!arrival_address(session, index, &leg, &address))
		return -EADDRNOTAVAIL;
	fd = open_socket(session, endpoint, leg);
	if (fd < 0)
		return fd;
	if (side)
		record->connect_leg = (uint16_t)leg;
	else
		record->leg = (uint16_t)leg;
	slot_take_socket(thread->worker->ledger, record, side, fd);
	r = scope_fill(fd, endpoint->legs[leg].interface, &address, &address);
	if (r)
		goto fail;
	if (is_bound(session))
		r = interface_check_side(session, side);
	else if (!is_file(session))
		r = chain_connect(session, fd, &address);
	if (r && r != -EINPROGRESS)
		goto fail;
	/* Registered only now: before connect(2) a TCP socket would report EPOLLHUP. */
	r = session_watch(session, side);
	if (r)
		goto fail;
	if (session->side[side].unwatched)
		wait_ms(session, UNWATCHED_MS);
	else
		wait_until(session, thread->loop.now + attempt_time(session, index, count));
	return 0;
fail:
	close_attempt(session);
	return r;
}

static uint64_t backlog_pause(struct session *session)
{
	uint64_t pause = (uint64_t)FULL_BACKLOG_MS << session->asked;

	if (session->asked < FULL_BACKLOG_DOUBLINGS)
		session->asked++;
	return pause;
}

/* Tries addresses until a connect is in progress. 0: one is, or a timer is set; else the last
 * error. */
static int try_target(struct session *session)
{
	struct ledger_session *record = session_record(session);
	const struct config_endpoint *endpoint = endpoint_of(session);
	uint64_t now = session->thread->loop.now;
	int error = -EADDRNOTAVAIL;

	if (!record->deadline) {
		record->deadline = now + session->route->connect_timeout;
		queue_forget(session);
		session->asked = 0;
	}
	for (;;) {
		unsigned count = target_addresses(session->thread->worker->ledger, endpoint,
						  session_target_slot(session));

		if (record->address >= count)
			return error;
		if (now >= record->deadline)
			return -ETIMEDOUT;
		error = try_address(session, record->address, count);
		if (!error)
			return 0;
		if (error == -EAGAIN || fault_of(-error) == FAULT_SHORTAGE) {
			wait_ms(session,
				error == -EAGAIN ? backlog_pause(session) : NO_DESCRIPTOR_MS);
			return 0;
		}
		record->address++;
	}
}

static unsigned count_addresses(const struct session *session)
{
	return target_addresses(session->thread->worker->ledger, endpoint_of(session),
				session_target_slot(session));
}

/* All addresses have been tried: the attempts that go on have the rest of the time. */
static bool rivals_go_on(struct session *session)
{
	if (session->thread->loop.now >= session_record(session)->deadline ||
	    !race_take_newest(session))
		return false;
	wait_until(session, session_record(session)->deadline);
	return true;
}

/* Continues from the state in the record. */
static enum connect_result go_on(struct session *session)
{
	struct ledger_session *record = session_record(session);
	enum connect_result r = CONNECT_NEXT;
	int error;

	do {
		if (!record->deadline && session_connecting_side(session))
			r = round_choose(session);
		if (r != CONNECT_NEXT)
			return r;
		error = demand_holds(session) ? -EHOSTDOWN : try_target(session);
		if (!error)
			return connect_fd(session) >= 0 ? connect_check(session) : CONNECT_WAITS;
		if (rivals_go_on(session))
			return connect_check(session);
		r = next_target(session, error);
	} while (r == CONNECT_NEXT);
	return r;
}

enum connect_result connect_begin(struct session *session)
{
	session_record(session)->cursor = 0;
	return go_on(session);
}

enum connect_result connect_anew(struct session *session)
{
	close_attempt(session);
	race_end(session);
	timer_clear(&session->thread->loop.timers, &session->timer);
	return go_on(session);
}

static enum connect_result next_address(struct session *session, int error)
{
	struct ledger_session *record = session_record(session);
	enum connect_result r = CONNECT_NEXT;

	close_attempt(session);
	timer_clear(&session->thread->loop.timers, &session->timer);
	if (record->address < count_addresses(session))
		record->address++;
	if (record->address >= count_addresses(session)) {
		if (rivals_go_on(session))
			return connect_check(session);
		r = next_target(session, error);
	}
	return r == CONNECT_NEXT ? go_on(session) : r;
}

enum connect_result connect_elsewhere(struct session *session)
{
	close_attempt(session);
	race_end(session);
	timer_clear(&session->thread->loop.timers, &session->timer);
	end_attempt(session);
	return go_on(session);
}

/* The target accepted, and reset the connection before we looked: what it sent in between is
 * still to be read. */
static enum connect_result reached_and_reset(struct session *session, int error)
{
	direction_note_reset(session, session_connecting_side(session), -error);
	return reached(session);
}

/* Without a connection connect(2) is complete when it returns, and may be repeated; TIPC's
 * getpeername(2) does not report it. */
static bool is_addressed(const struct session *session)
{
	unsigned leg;
	struct address address;

	return session_row(session, session_connecting_side(session))->capabilities &
		       SPLICED_CONNECTIONLESS &&
	       arrival_address(session, session_record(session)->address, &leg, &address) &&
	       !scope_fill(connect_fd(session), endpoint_of(session)->legs[leg].interface, &address,
			   &address) &&
	       !socket_connect(connect_fd(session), &address);
}

static bool has_tcp_states(const struct session *session)
{
	return session_row(session, session_connecting_side(session))->capabilities &
	       SPLICED_TCP_INFO;
}

/* A Bluetooth socket reports its peer's name while it still connects; then it is not writable,
 * connect(2). */
static bool is_connected(struct session *session)
{
	int fd = connect_fd(session);

	if (is_bound(session))
		return !interface_check_side(session, session_connecting_side(session));
	if (is_file(session))
		return true;
	if (session_connecting_side(session) && roam_is_asked(session))
		return roam_has_begun(session);
	return (socket_is_connected(fd) &&
		(has_tcp_states(session) || socket_poll(fd, POLLOUT) & POLLOUT)) ||
	       is_addressed(session);
}

static bool is_under_way(const struct session *session)
{
	int fd = connect_fd(session);

	return has_tcp_states(session) ? socket_tcp_state(fd) == SOCKET_TCP_SYN_SENT
				       : !socket_poll(fd, POLLOUT);
}

static bool may_race(const struct session *session)
{
	const struct ledger_session *record = session_record(session);

	return !session->race_won && record->address + 1u < count_addresses(session) &&
	       session->thread->loop.now < record->deadline && race_is_possible(session);
}

/* Without such states it is unknown whether connect(2) was called: call it again, unless it has
 * succeeded. Attempts that went on beside this one are gone: their addresses are tried again. */
enum connect_result connect_adopt(struct session *session)
{
	struct ledger_session *record = session_record(session);
	bool raced = record->address && race_is_possible(session);

	if (raced)
		record->address = 0;
	if (connect_fd(session) < 0)
		return CONNECT_WAITS;
	/* The next address is tried beside it. */
	if (!raced && may_race(session))
		wait_until(session, session->thread->loop.now +
					    attempt_time(session, 0, count_addresses(session)));
	return (has_tcp_states(session) && !raced) || is_connected(session) ? connect_check(session)
									    : connect_anew(session);
}

enum connect_result connect_check(struct session *session)
{
	int fd = connect_fd(session), error;

	if (is_connected(session))
		return reached(session);
	error = socket_take_error(fd);
	if (error == -ECONNRESET || error == -EPIPE)
		return reached_and_reset(session, error);
	if (error)
		return next_address(session, error);
	if (is_under_way(session))
		return CONNECT_WAITS;
	/* A worker died before connect(2), or took the error with it: the same address once
	 * more. */
	close_attempt(session);
	wait_ms(session, 1);
	return CONNECT_WAITS;
}

/* There was no room for it in the epoll set: no event reports its result. */
static enum connect_result watch_again(struct session *session)
{
	unsigned side = session_connecting_side(session);
	int r = session_watch(session, side);

	if (r || session->thread->loop.now >= session_record(session)->deadline)
		return next_address(session, r ? r : -ETIMEDOUT);
	if (session->side[side].unwatched)
		wait_ms(session, UNWATCHED_MS);
	else
		wait_until(session, session_record(session)->deadline);
	return connect_check(session);
}

/* It has been alone for long enough. */
static enum connect_result race_on(struct session *session)
{
	race_put_aside(session);
	session_record(session)->address++;
	return go_on(session);
}

enum connect_result connect_in_turn(struct session *session)
{
	assert(queue_has(session) && connect_fd(session) < 0);
	return go_on(session);
}

enum connect_result connect_timer(struct session *session)
{
	if (queue_has(session))
		return round_end_wait(session);
	if (connect_fd(session) < 0)
		return go_on(session);
	if (session->side[session_connecting_side(session)].unwatched)
		return watch_again(session);
	return may_race(session) ? race_on(session) : next_address(session, -ETIMEDOUT);
}

static enum connect_result rival_wins(struct session *session, unsigned rival, int error)
{
	close_attempt(session);
	timer_clear(&session->thread->loop.timers, &session->timer);
	if (!race_take(session, rival))
		return go_on(session);
	return error ? reached_and_reset(session, error) : reached(session);
}

enum connect_result connect_rival(struct session *session, unsigned rival)
{
	int fd = race_fd(session, rival), error;
	bool had_room = race_has_room(session);

	if (socket_is_connected(fd) && socket_poll(fd, POLLOUT) & POLLOUT)
		return rival_wins(session, rival, 0);
	error = socket_take_error(fd);
	if (error == -ECONNRESET || error == -EPIPE)
		return rival_wins(session, rival, error);
	if (!error && !socket_poll(fd, POLLOUT))
		return CONNECT_WAITS;
	race_close(session, rival);
	if (!had_room && connect_fd(session) >= 0 && may_race(session))
		wait_ms(session, RACE_DELAY_MS);
	return CONNECT_WAITS;
}
