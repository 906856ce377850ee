/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nothing is remembered that an heir would need: which sessions are to end follows from when they
 * began and since when their targets are down, and is looked at by each worker once at its start.
 */
#include "dispatch/on_down.h"

#include "base/clock.h"
#include "base/timer.h"
#include "config/config.h"
#include "dispatch/dispatch.h"
#include "dispatch/session_end.h"
#include "dispatch/target_check.h"
#include "ledger/generation.h"
#include "session/hand.h"
#include "session/lane.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>
#include <stdlib.h>

enum {
	LOOK_SECONDS = 1,
	LOOKS = 2, /* after a target went down: a session may have been connecting to it */
	ENDS_A_TURN = 256,
};

struct on_down {
	struct timer timer;
	struct thread *clerk;
	uint64_t newest; /* since when the target is down that went down last, CLOCK_MONOTONIC ns */
	unsigned looks;	 /* that are left */
};

static bool is_asked(const struct config_route *route)
{
	return route->enabled && route->on_down == ON_DOWN_END;
}

/* Of all targets, the newest that went down. */
static uint64_t find_newest(const struct worker *worker)
{
	uint64_t newest = 0;

	for (const struct generation *g = worker->generations; g; g = g->next)
		for (unsigned i = 0; i < g->config->n_routes; i++)
			for (unsigned k = 0;
			     is_asked(&g->config->routes[i]) && k < g->config->routes[i].n_targets;
			     k++) {
				uint64_t since = target_down_since(
					&worker->ledger->targets[g->target_slots[i][k]]);

				newest = since > newest ? since : newest;
			}
	return newest;
}

static void look(struct timer *timer)
{
	struct on_down *on_down =
		(struct on_down *)((char *)timer - offsetof(struct on_down, timer));
	struct worker *worker = on_down->clerk->worker;
	uint64_t newest = find_newest(worker);

	if (newest > on_down->newest)
		on_down->looks = LOOKS;
	on_down->newest = newest;
	if (on_down->looks && newest) {
		on_down->looks--;
		for (uint32_t i = 0; i < worker->n_threads; i++) {
			atomic_store(&worker->threads[i].dispatch->downs, 1);
			thread_wake(&worker->threads[i]);
		}
	}
	timer_set(&on_down->clerk->loop.timers, timer,
		  on_down->clerk->loop.now + LOOK_SECONDS * NSEC_PER_SEC);
}

void on_down_look(struct on_down *on_down)
{
	if (on_down)
		timer_set(&on_down->clerk->loop.timers, &on_down->timer, 0);
}

int on_down_new(struct on_down **ret, struct thread *clerk)
{
	bool asked = false;

	*ret = NULL;
	for (const struct generation *g = clerk->worker->generations; g; g = g->next)
		for (unsigned i = 0; i < g->config->n_routes; i++)
			asked |= is_asked(&g->config->routes[i]);
	if (!asked)
		return 0;
	*ret = calloc(1, sizeof **ret);
	if (!*ret)
		return -ENOMEM;
	(*ret)->clerk = clerk;
	(*ret)->timer.fire = look;
	on_down_look(*ret);
	return 0;
}

struct on_down *on_down_free(struct on_down *on_down)
{
	free(on_down);
	return NULL;
}

static bool is_to_end(const struct session *session)
{
	const struct ledger_session *record = session_record(session);

	return record->state == SESSION_RELAYING && session->route->on_down == ON_DOWN_END &&
	       !lane_is(session) && record->opened < target_down_since(session_target(session));
}

void on_down_serve(struct thread *thread)
{
	struct ledger *ledger = thread->worker->ledger;
	uint32_t slot, ended = 0;

	if (!atomic_exchange(&thread->dispatch->downs, 0))
		return;
	for (slot = 0; slot < ledger_sessions_high(ledger) && ended < ENDS_A_TURN; slot++) {
		struct session *session = session_at(thread, slot);

		if (ledger->sessions[slot].thread != thread->index || session->thread != thread ||
		    ledger->sessions[slot].state != SESSION_RELAYING)
			continue;
		hand_session(session);
		if (!is_to_end(session))
			continue;
		session_end(session, END_TARGET_DOWN, 0);
		ended++;
	}
	if (ended < ENDS_A_TURN)
		return;
	atomic_store(&thread->dispatch->downs, 1);
	thread_wake(thread);
}
