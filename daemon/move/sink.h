/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sink of a direction: where a session's messages go. A message socket takes them by
 * sendmsg(2), a stream as frames by way of a pipe, and a socket that is only received from takes
 * none.
 */
#pragma once

#include "ledger/ledger.h"
#include "move/step.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct session;

/*
 * Sends messages, in order. *taken: how many are done with, on their way or dropped and counted. 0:
 * all of them; else why not more: enum step_result, or negative errno. A sink that is not connected
 * yet takes what fits into its pipe; one of messages only what would else be dropped.
 */
int sink_send(struct session *session, unsigned direction, const struct iovec *messages,
	      unsigned count, unsigned *taken);

/* Whether a message that cannot be put back would be taken now; if not, the session looks again
 * when it may be. */
bool sink_has_room(struct session *session, unsigned direction);

/* Moves on what waits in the pipe. 0: empty; else as sink_send(). */
int sink_drain(struct session *session, unsigned direction);

/* The next whole message of what waits in the pipe for the target, of which n bytes were read; *at
 * is then behind it. False: there is none. */
bool sink_next_waiting(const struct session *session, uint8_t *bytes, size_t n, size_t *at,
		       struct iovec *ret);

/* What waits in the pipe of a session that a worker before this one had, for a target that is still
 * being connected: nothing is put behind a message that was cut. */
void sink_adopt(struct session *session, unsigned direction);

/* Whether a message would be dropped as soon as it were sent: nobody there takes any. */
bool sink_is_void(const struct session *session, unsigned direction);

/* Whether the only message that the target ever got from the client is kept, to be sent to another
 * in its place. */
bool sink_will_repeat(const struct session *session);

/* A message that was sent is said to have found nobody: it is dropped. */
void sink_return(struct session *session, unsigned direction);

/* Counts messages that are dropped. */
void sink_drop(struct session *session, enum drop why, uint64_t count);
