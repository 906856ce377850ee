/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/permanent.h"

#include "base/assert.h"
#include "config/config.h"
#include "dispatch/dispatch.h"
#include "ledger/generation.h"
#include "session/session.h"
#include "session/thread.h"

enum { DOUBLINGS_MAX = 20 };

const struct config_route *permanent_route(const struct permanent_front *permanent)
{
	assert(permanent->route < permanent->generation->config->n_routes);
	return &permanent->generation->config->routes[permanent->route];
}

void permanent_begin_after(struct permanent_front *permanent, uint64_t pause)
{
	assert(!permanent->has_session && thread_is_self(permanent->thread));
	if (!permanent->left)
		timer_set(&permanent->thread->loop.timers, &permanent->timer,
			  permanent->thread->loop.now + pause);
}

static uint64_t pause_length(const struct permanent_front *permanent)
{
	const struct config_route *route = permanent_route(permanent);
	uint32_t doublings =
		permanent->failures < DOUBLINGS_MAX ? permanent->failures : DOUBLINGS_MAX;
	uint64_t length = route->backoff << doublings;

	return length < route->max_backoff ? length : route->max_backoff;
}

void permanent_relays(struct session *session)
{
	if (!session->permanent)
		return;
	assert(session->permanent->has_session);
	session->permanent->failures = 0;
	session->permanent->relayed = true;
}

void permanent_ended(struct session *session)
{
	struct permanent_front *permanent = session->permanent;

	if (!permanent)
		return;
	assert(permanent->has_session && permanent->thread == session->thread);
	session->permanent = NULL;
	permanent->has_session = false;
	permanent_begin_after(permanent, pause_length(permanent));
	permanent->failures++;
}

void permanent_leave(struct thread *thread, uint32_t listener)
{
	assert(listener != PERMANENT_DIALS);
	for (uint32_t i = 0; i < thread->dispatch->n_permanent; i++)
		if (thread->dispatch->permanent[i].listener == listener) {
			thread->dispatch->permanent[i].left = true;
			timer_clear(&thread->loop.timers, &thread->dispatch->permanent[i].timer);
		}
}
