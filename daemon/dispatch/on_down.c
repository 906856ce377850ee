/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nothing is remembered that an heir would need: which sessions are to end follows from when they
 * began and since when their targets are down, and is looked at by each worker once at its start.
 */
#include "dispatch/on_down.h"

#include "base/clock.h"
#include "base/timer.h"
#include "config/config.h"
#include "dispatch/clear.h"
#include "dispatch/target_check.h"
#include "ledger/generation.h"
#include "session/thread.h"

#include <errno.h>
#include <stdlib.h>

enum {
	LOOK_SECONDS = 1,
	LOOKS = 2, /* after a target went down: a session may have been connecting to it */
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
		for (uint32_t i = 0; i < worker->n_threads; i++)
			clear_ask(&worker->threads[i]);
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
