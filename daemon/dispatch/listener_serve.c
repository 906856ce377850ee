/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a thread does at its listeners. The sockets belong to the ledger; a thread watches its own
 * one of a SO_REUSEPORT group, or, with the others and EPOLLEXCLUSIVE, the only one. A place is
 * taken (in the table, and within limit.sessions) before accept(2), so that a limit is never
 * overstepped and a client that there is no room for waits in the kernel's queue.
 */
#include "base/assert.h"
#include "dispatch/dispatch.h"
#include "dispatch/listener.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "dispatch/access.h"
#include "dispatch/chain.h"
#include "dispatch/datagram.h"
#include "dispatch/permanent.h"
#include "dispatch/ratelimit.h"
#include "dispatch/session_begin.h"
#include "dispatch/session_log.h"
#include "dispatch/share.h"
#include "dispatch/target.h"
#include "ledger/generation.h"
#include "move/receive.h"
#include "net/fault.h"
#include "net/socket.h"
#include "session/endpoint_socket.h"
#include "session/hand.h"
#include "session/session.h"
#include "session/slot.h"
#include "session/thread.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PAUSE_ERROR_MS = 1000,
	LEAVE_POLL_MS = 50,
	LEAVE_OLD_POLL_MS = 1000, /* only its sessions keep it */
	LEAVE_EMPTY_SECONDS =
		1, /* a leaving listener is closed when it has been asked for this time */
};

static void reset(int fd)
{
	socket_set_abort(fd);
	close(fd);
}

/* Releases what was taken for a client that is refused; session may be NULL. */
static void turn_away(struct thread *thread, uint32_t index, struct session *session, int fd,
		      enum refusal why)
{
	uint32_t slot =
		listener_route_slot(thread, index, thread->dispatch->listeners[index].generation);

	assert(fd >= 0 && why < REFUSED_REASONS);
	ledger_count(&ledger_counter(thread->worker->ledger, thread->index, slot)->refused[why], 1);
	if (session)
		share_abandon(session, slot);
	reset(fd);
}

/* Whether the client is one of our own sessions, and closes a loop; if not, its origin is noted. */
static bool is_loop(struct thread *thread, uint32_t index, struct session *session, int fd,
		    const struct address *peer, struct chain *chain)
{
	const struct ledger_listener *record = listener_record(thread, index);
	const struct config_route *route = listener_route(thread, index, session->generation);
	uint32_t slot = session->generation->route_slots[record->route];

	chain_find(thread, index, &route->listen[record->endpoint].legs[record->leg], fd, peer,
		   slot, chain);
	if (!chain->is_loop)
		return false;
	chain_report(thread, slot, chain);
	chain_end(thread, chain);
	return true;
}

/* With a slot and a place taken. */
static void admit(struct thread *thread, uint32_t index, struct session *session, int fd,
		  const struct address *peer)
{
	const struct ledger_listener *record = listener_record(thread, index);
	const struct config_route *route = listener_route(thread, index, session->generation);
	const struct config_leg *leg = &route->listen[record->endpoint].legs[record->leg];
	const struct config_rule *rule;
	struct chain chain;

	assert(fd >= 0 && record->route < session->generation->config->n_routes);
	if (access_allowed(route, leg, fd, peer, &rule)) {
		if (is_loop(thread, index, session, fd, peer, &chain)) {
			turn_away(thread, index, session, fd, REFUSED_LOOP);
			return;
		}
		session->route = route;
		slot_accept(thread->worker->ledger, session_record(session), record, fd);
		endpoint_socket_set_accepted(&route->listen[record->endpoint], record->leg, fd);
		chain_join(session, &chain);
		session_record(session)->admitted = 1;
		session_begin(session, peer);
		hand_listener(thread, index);
		return;
	}
	session_log_refused(thread, session->generation, route, leg, peer, rule);
	turn_away(thread, index, session, fd, REFUSED_DENIED);
}

/* A slot and a place: 0, or why there is none (enum ledger_pause). */
static int prepare(struct thread *thread, uint32_t index, const struct generation *generation,
		   struct session **ret)
{
	const struct config_route *route = listener_route(thread, index, generation);
	int why = share_claim(thread, listener_route_slot(thread, index, generation),
			      route->limit_sessions, ret);

	if (!why)
		(*ret)->generation = generation;
	return why;
}

/* All targets are down and no place is left to wait for them: new clients are reset at once, and
 * do not wait in the kernel's queue. */
static bool is_hopeless(const struct thread *thread, uint32_t index,
			const struct generation *generation, uint32_t why)
{
	return listener_waits_for_session(why) &&
	       target_all_down(thread, generation, listener_record(thread, index)->route);
}

/* ---- what the operator has done ---- */

static uint32_t hand_of(const struct thread *thread, uint32_t index,
			const struct generation *generation)
{
	uint32_t slot = listener_route_slot(thread, index, generation);

	return atomic_load_explicit(&thread->worker->ledger->routes[slot].hand,
				    memory_order_relaxed);
}

/* Whether new clients wait in the kernel's queue. */
static bool is_held(const struct listener *listener)
{
	return !listener->removed &&
	       hand_of(listener->thread, listener_index(listener), listener->generation) &
		       LEDGER_HAND_HOLD;
}

static bool is_removed(const struct thread *thread, uint32_t index,
		       const struct generation *generation)
{
	const struct generation *newest = thread->worker->generations;
	uint32_t slot = listener_route_slot(thread, index, generation);

	for (unsigned i = 0; i < newest->config->n_routes; i++)
		if (newest->route_slots[i] == slot)
			return false;
	return true;
}

/* What an error of accept(2) means: 0, try the next connection; else why to pause. */
static uint32_t judge(int error)
{
	switch (fault_of(error)) {
	case FAULT_SHORTAGE:
		return error == EMFILE || error == ENFILE ? PAUSE_DESCRIPTORS : PAUSE_MEMORY;
	case FAULT_BLOCKED:
	case FAULT_INTERRUPTED:
	case FAULT_PEER:
	case FAULT_MESSAGE:
		return PAUSE_NONE;
	case FAULT_CALL:
		break;
	}
	/* Errors of the connection, not of the listener: accept(2). */
	return error == EPERM || error == ENOPROTOOPT || error == EOPNOTSUPP ? PAUSE_NONE
									     : PAUSE_ERROR;
}

/* One connection. 0: accepted; -EAGAIN: no more; positive: pause. */
static int accept_one(struct thread *thread, struct listener *listener, uint32_t index,
		      bool *accepted)
{
	struct session *session;
	struct address peer = {.len = sizeof peer.storage};
	enum refusal refusal = REFUSED_UNREACHABLE;
	int fd, pause = 0;

	if (is_held(listener))
		return PAUSE_HELD;
	if (hand_of(thread, index, listener->generation) & LEDGER_HAND_DRAIN) {
		session = NULL;
		refusal = REFUSED_DRAINED;
	} else {
		pause = prepare(thread, index, listener->generation, &session);
	}
	if (pause && !is_hopeless(thread, index, listener->generation, (uint32_t)pause))
		return pause;
	if (pause)
		session = NULL;
	fd = accept4(listener->fd, address_sockaddr(&peer), &peer.len,
		     SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		atomic_fetch_add_explicit(&listener_record(thread, index)->accepted, 1,
					  memory_order_relaxed);
		*accepted = true;
		if (session)
			admit(thread, index, session, fd, &peer);
		else
			turn_away(thread, index, NULL, fd, refusal);
		return 0;
	}
	pause = errno == EAGAIN ? -EAGAIN : (int)judge(errno);
	if (pause == PAUSE_ERROR)
		log_error("route %s: accept: %m",
			  listener_route(thread, index, listener->generation)->name);
	if (session)
		share_abandon(session, listener_route_slot(thread, index, listener->generation));
	return pause;
}

static int accept_batch(struct thread *thread, struct listener *listener, uint32_t index)
{
	bool accepted = false;
	int r = 0;

	assert(!listener->is_datagram && listener->fd >= 0);
	hand_listener(thread, index);
	for (int i = 0; !r && i < LISTENER_BATCH; i++)
		r = accept_one(thread, listener, index, &accepted);
	/* Nothing but errors of connections: those that stay at the head of the queue would be
	 * reported again and again. */
	return r || accepted ? r : PAUSE_ERROR;
}

/* True: there may be more. */
static bool receive(struct thread *thread, struct listener *listener, uint32_t index)
{
	assert(listener->is_datagram && listener->fd >= 0);
	hand_listener(thread, index);
	if (listener_record(thread, index)->skip) {
		datagram_skip(thread, listener, index);
		listener_record(thread, index)->skip = 0;
	}
	return datagram_receive(thread, listener, index);
}

void listener_handle(void *context, uint64_t name, uint32_t events)
{
	struct thread *thread = context;
	uint32_t index = loop_index(name);
	struct listener *listener = &thread->dispatch->listeners[index];
	int r;

	assert(thread_is_self(thread) && index < LEDGER_LISTENERS_MAX);
	(void)events;
	if (!listener->thread || listener->paused)
		return;
	if (listener->is_datagram && !is_held(listener)) {
		receive(thread, listener, index);
		return;
	}
	if (listener->is_datagram) {
		if (!listener->held_back)
			listener_pause(listener, PAUSE_HELD, LISTENER_PAUSE_MS);
		return;
	}
	r = accept_batch(thread, listener, index);
	if (r > 0)
		listener_pause(listener, (uint32_t)r,
			       r == PAUSE_ERROR ? PAUSE_ERROR_MS : LISTENER_PAUSE_MS);
}

static void wake_keeper(const struct thread *thread)
{
	uint64_t one = 1;

	if (write(thread->worker->ledger->keeper_wake, &one, sizeof one) < 0)
		return; /* full: it is being woken already */
}

/* If one socket stays in a group of several that leave, these are closed one at a time: for a
 * moment new connections may come to the others, which must still be accepted from. */
static bool has_turn(const struct thread *thread, uint32_t index)
{
	const struct ledger *ledger = thread->worker->ledger;
	const struct ledger_listener *own = &ledger->listeners[index];

	for (uint32_t i = 0; own->group && own->n_fds == 1 && i < index; i++)
		if (ledger->listeners[i].state == LISTENER_LEAVING &&
		    ledger->listeners[i].group == own->group)
			return false;
	return true;
}

/* What the kernel had dropped at a socket that goes. */
static void count_drops(const struct listener *listener, struct ledger_listener *record, int fd)
{
	const struct thread *thread = listener->thread;
	uint32_t slot = listener->generation->route_slots[record->route];

	assert(fd >= 0);
	if (!socket_may_drop(listener_leg(listener)->row))
		return;
	ledger_count(&ledger_counter(thread->worker->ledger, thread->index, slot)->kernel,
		     socket_drops(fd) - record->drops_before);
	record->drops_before = 0;
}

/* ... and what it had dropped before, where the socket was passed to us. */
static void note_drops(const struct listener *listener, struct ledger_listener *record, int fd)
{
	const struct config_endpoint *endpoint =
		&listener->generation->config->routes[record->route].listen[record->endpoint];

	assert(fd >= 0);
	if (!record->drops_known && endpoint->values[ENDPOINT_FD].value.text &&
	    socket_may_drop(listener_leg(listener)->row))
		record->drops_before = socket_drops(fd);
	record->drops_known = 1;
}

/* The thread's part of a leaving listener is done with. One that has a place in a group is
 * closed by the keeper, which moves the others. */
static void leave(struct thread *thread, struct listener *listener, uint32_t index)
{
	struct ledger_listener *record = listener_record(thread, index);
	uint32_t place = record->n_fds == 1 ? 0 : thread->index;
	int fd = listener->fd;

	assert(fd >= 0 && record->state == LISTENER_LEAVING);
	assert(place < ledger_sockets(record) && record->fds[place] == fd);
	timer_clear(&thread->loop.timers, &listener->timer);
	loop_remove(&thread->loop, fd);
	count_drops(listener, record, fd);
	listener->thread = NULL;
	thread->fronts[index] = 0;
	if (record->placed == PLACES_KNOWN && record->group) {
		atomic_store(&record->let_go[place], 1);
		wake_keeper(thread);
		return;
	}
	record->fds[place] = -1;
	close(fd);
	for (uint32_t i = 0; i < ledger_sockets(record); i++)
		if (record->fds[i] >= 0)
			return;
	atomic_store(&record->state, LISTENER_FREE);
}

static bool is_feed(const struct listener *listener)
{
	return listener_leg(listener)->row->capabilities & SPLICED_FEED;
}

/* No new peer reaches the socket any more (the keeper saw to that); replies of its sessions'
 * targets still leave through it. What it holds is received at once, a batch a turn. */
static void leave_datagrams(struct thread *thread, struct listener *listener, uint32_t index,
			    uint32_t since)
{
	bool held = is_held(listener);
	bool more = !held && listener->paused != PAUSE_DEATHS && receive(thread, listener, index);
	bool old = !held && thread->loop.now / NSEC_PER_SEC > since + LEAVE_EMPTY_SECONDS &&
		   !listener->held_back;
	uint64_t wait = (old ? LEAVE_OLD_POLL_MS : LEAVE_POLL_MS) * NSEC_PER_MSEC;

	assert(listener->is_datagram);
	if (old && !more && !listener->sessions)
		leave(thread, listener, index);
	else
		timer_set(&thread->loop.timers, &listener->timer,
			  thread->loop.now + (more ? 1 : wait));
}

static void listener_timer(struct timer *timer)
{
	struct listener *listener =
		(struct listener *)((char *)timer - offsetof(struct listener, timer));
	struct thread *thread = listener->thread;
	uint32_t index = listener_index(listener);
	uint32_t since = listener_record(thread, index)->leaving_since;

	assert(thread && !timer_is_set(timer));
	if (listener->held_back)
		listener_go_on(thread, index);
	else if (listener->paused == PAUSE_HELD && is_held(listener))
		timer_set(&thread->loop.timers, &listener->timer,
			  thread->loop.now + LISTENER_PAUSE_MS * NSEC_PER_MSEC);
	else if (listener_record(thread, index)->state != LISTENER_LEAVING)
		listener_resume(listener);
	if (listener_record(thread, index)->state != LISTENER_LEAVING)
		return;
	if (is_feed(listener)) {
		leave(thread, listener, index);
		return;
	}
	if (listener->is_datagram) {
		leave_datagrams(thread, listener, index, since);
		return;
	}
	if ((listener->paused == PAUSE_DEATHS ||
	     accept_batch(thread, listener, index) == -EAGAIN) &&
	    thread->loop.now / NSEC_PER_SEC > since + LEAVE_EMPTY_SECONDS &&
	    has_turn(thread, index))
		leave(thread, listener, index);
	else
		timer_set(&thread->loop.timers, &listener->timer,
			  thread->loop.now + LEAVE_POLL_MS * NSEC_PER_MSEC);
}

/* A pause that the operator has ended meanwhile is over. */
static void adopt_hold(struct listener *listener, struct ledger_listener *record)
{
	listener->removed =
		record->state == LISTENER_LEAVING &&
		is_removed(listener->thread, listener_index(listener), listener->generation);
	if (record->paused == PAUSE_HELD && !is_held(listener))
		record->paused = PAUSE_NONE;
}

/* Where reloads follow each other quickly, no worker lives long enough to wait. */
static void leave_soon(struct listener *listener, const struct ledger_listener *record)
{
	struct loop *loop = &listener->thread->loop;
	bool old = loop->now / NSEC_PER_SEC > record->leaving_since + LEAVE_EMPTY_SECONDS;

	timer_set(&loop->timers, &listener->timer,
		  old ? loop->now : loop->now + LEAVE_POLL_MS * NSEC_PER_MSEC);
}

static void adopt(struct thread *thread, uint32_t index)
{
	struct ledger_listener *record = listener_record(thread, index);
	struct listener *listener = &thread->dispatch->listeners[index];
	uint32_t place = record->n_fds == 1 ? 0 : thread->index;
	int fd = place < record->n_fds ? record->fds[place]
				       : -1; /* one that was opened for fewer threads */
	const struct generation *generation =
		generation_find(thread->worker->generations, record->generation);
	const struct spliced_row *row;
	uint64_t capabilities;

	assert(!listener->thread);
	if ((record->state != LISTENER_OPEN && record->state != LISTENER_LEAVING) || fd < 0 ||
	    record->let_go[place])
		return;
	assert(generation && record->route < generation->config->n_routes);
	row = generation->config->routes[record->route]
		      .listen[record->endpoint]
		      .legs[record->leg]
		      .row;
	capabilities = row->capabilities;
	/* Messages have one reader; and the thread that closes a socket must be its only user. */
	if (record->n_fds == 1 &&
	    (capabilities & (SPLICED_CONNECTIONLESS | SPLICED_FEED) ||
	     record->state == LISTENER_LEAVING) &&
	    thread->index != index % thread->worker->n_threads)
		return;
	*listener = (struct listener){.thread = thread,
				      .fd = fd,
				      .timer.fire = listener_timer,
				      .generation = generation,
				      .is_datagram = capabilities & SPLICED_CONNECTIONLESS};
	thread->fronts[index] = fd + 1;
	/* Release 0.2 did none of it. */
	if (capabilities & SPLICED_TCP_INFO)
		socket_keep_urgent(fd);
	if (listener->is_datagram) {
		socket_hear_only_joined(fd);
		receive_prepare(fd, row);
		note_drops(listener, record, fd);
	}
	adopt_hold(listener, record);
	if (record->paused == PAUSE_DEATHS)
		listener->paused = PAUSE_DEATHS;
	else if (!(capabilities & SPLICED_FEED) && listener_watch(listener) < 0)
		listener_pause(listener, PAUSE_MEMORY, LISTENER_PAUSE_MS);
	if (record->state == LISTENER_LEAVING)
		leave_soon(listener, record);
}

void listeners_adopt(struct thread *thread)
{
	uint32_t high = ledger_listeners_high(thread->worker->ledger);

	for (uint32_t i = 0; i < high; i++) {
		hand_listener(thread, i);
		adopt(thread, i);
	}
}
