/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sink of a direction: where a session's messages go. A message socket gets them by sendmsg(2),
 * a stream as frames through a pipe, and a receive-only socket none.
 */
#pragma once

#include "move/step.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct session;

/*
 * Sends messages, in order. *taken: how many are done, sent or dropped and counted. 0: all of them;
 * else why not more: enum step_result, or negative errno. A sink that is not connected yet accepts
 * what fits into its pipe; if it is a message socket, only what would otherwise be dropped.
 */
int sink_send(struct session *session, unsigned direction, const struct iovec *messages,
	      unsigned count, unsigned *taken);

/* Sends what waits in the pipe. 0: empty; else as sink_send(). */
int sink_drain(struct session *session, unsigned direction);

/* Whether every message would be dropped: the sink accepts none. */
bool sink_is_void(const struct session *session, unsigned direction);
