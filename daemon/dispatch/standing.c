/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/standing.h"

#include "config/config.h"
#include "ledger/generation.h"
#include "session/session.h"
#include "session/thread.h"

enum { DOUBLINGS_MAX = 20 };

const struct config_route *standing_route(const struct standing *standing)
{
	return &standing->generation->config->routes[standing->route];
}

void standing_begin_after(struct standing *standing, uint64_t pause)
{
	if (!standing->left)
		timer_set(&standing->thread->loop.timers, &standing->timer,
			  standing->thread->loop.now + pause);
}

static uint64_t pause_length(const struct standing *standing)
{
	const struct config_route *route = standing_route(standing);
	uint32_t doublings =
		standing->failures < DOUBLINGS_MAX ? standing->failures : DOUBLINGS_MAX;
	uint64_t length = route->backoff << doublings;

	return length < route->max_backoff ? length : route->max_backoff;
}

void standing_relays(struct session *session)
{
	if (!session->standing)
		return;
	session->standing->failures = 0;
	session->standing->relayed = true;
}

void standing_ended(struct session *session)
{
	struct standing *standing = session->standing;

	if (!standing)
		return;
	session->standing = NULL;
	standing->has_session = false;
	standing_begin_after(standing, pause_length(standing));
	standing->failures++;
}

void standing_leave(struct thread *thread, uint32_t listener)
{
	for (uint32_t i = 0; i < thread->n_standing; i++)
		if (thread->standing[i].listener == listener) {
			thread->standing[i].left = true;
			timer_clear(&thread->loop.timers, &thread->standing[i].timer);
		}
}
