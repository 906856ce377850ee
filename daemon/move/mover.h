/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Movers forward a session's traffic. The relay moves streams, the exchange everything with
 * messages at one side or both. A mover knows sockets, pipes and frames, but not listeners, targets
 * and pools: it reports what it learns of the target to the code that chose it.
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

	/* Takes over what waits in the pipe of a previous worker's session for a target that is
	 * still being connected. */
	void (*adopt)(struct session *session, unsigned direction);

	/* Moves one direction (0: from the client, 1: from the target) as far as it goes: enum
	 * step_result, or negative errno. */
	int (*step)(struct session *session, unsigned direction);

	/* The session ends: releases what this process has for it besides sockets and pipes. */
	void (*discard)(struct session *session);
};

/* Events reported to the code that chose the target. */
struct mover_events {
	/* Its socket reported an error (negative), to be treated as a failed connect. True: the
	 * session continues with another target, SINK_RECONNECT. */
	bool (*lost)(struct session *session, int error);

	/* The target has answered. */
	void (*proven)(struct session *session);

	/* A message was sent to a target that has not answered. */
	void (*sent)(struct session *session);

	/* Gives messages of a lane to the lanes of other targets; returns how many were
	 * accepted. */
	unsigned (*offer)(const struct session *session, const struct iovec *messages,
			  unsigned count);

	/* Moves what waits in the pipe of a lane to other lanes. True: nothing waits there any
	 * more. */
	bool (*pass_on)(struct session *session);
};

/* Plans how a session moves its traffic, from its two rows and the configuration of its sides, once
 * both are known. */
void mover_plan(struct session *session);

/* Before the next target replaces the current one: drops messages or frames that wait, if the next
 * target frames otherwise, while the record still names the target that they are for. */
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
