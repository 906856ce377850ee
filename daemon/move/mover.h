/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Movers: how a session's traffic gets across. The relay moves streams, the exchange whatever has
 * messages at an end. A mover knows sockets, pipes and frames; of listeners, targets and pools it
 * knows nothing: what it learns of the target, whoever chose that is told.
 */
#pragma once

#include "base/assert.h"
#include "move/step.h"
#include "session/session.h"
#include "session/thread.h"

#include <stdbool.h>
#include <sys/uio.h>

struct config_endpoint;

struct mover {
	/* Makes a side's socket ready. 0 or negative errno. */
	int (*prepare)(struct session *session, unsigned side);

	/* What waits in the pipe of a session that a worker before this one had, for a target that
	 * is still being connected. */
	void (*adopt)(struct session *session, unsigned direction);

	/* Moves one direction (0: from the client, 1: from the target) as far as it goes: enum
	 * step_result, or negative errno. */
	int (*step)(struct session *session, unsigned direction);

	/* The session ends: lets go of what this process has of it beside sockets and pipes. */
	void (*discard)(struct session *session);
};

/* What who chose the target is told. */
struct mover_events {
	/* Its socket tells of an error (negative): as a connect that failed. True: the session is
	 * to go on at another, SINK_RECONNECT. */
	bool (*lost)(struct session *session, int error);

	/* It has said something. */
	void (*proven)(struct session *session);

	/* A message was sent to one that has not said anything. */
	void (*sent)(struct session *session);

	/* Gives messages of a lane to the lanes of other targets: how many were taken. */
	unsigned (*offer)(const struct session *session, const struct iovec *messages,
			  unsigned count);

	/* What waits in the pipe of a lane goes to the lanes of others. True: nothing waits there
	 * any more. */
	bool (*pass_on)(struct session *session);
};

/* How a session moves its traffic, by its two rows and what the config says of its ends: filled in
 * once both are known. */
void mover_plan(struct session *session);

/* Before the target becomes the next one: what waits for it as messages, or as frames, is
 * nothing to one that frames otherwise. It is dropped while the record still names the one that
 * it is for. */
void mover_forget_frames(struct session *session, const struct config_endpoint *next);

/* A session that was never planned has nothing to discard. */
static inline void mover_discard(struct session *session)
{
	if (session->mover)
		session->mover->discard(session);
}

static inline bool mover_tell_lost(struct session *session, int error)
{
	assert(error < 0);
	return session->thread->worker->events->lost(session, error);
}

static inline void mover_tell_proven(struct session *session)
{
	session->thread->worker->events->proven(session);
}

static inline void mover_tell_sent(struct session *session)
{
	session->thread->worker->events->sent(session);
}

static inline unsigned mover_offer(const struct session *session, const struct iovec *messages,
				   unsigned count)
{
	return session->thread->worker->events->offer(session, messages, count);
}

static inline bool mover_pass_on(struct session *session)
{
	return session->thread->worker->events->pass_on(session);
}
