/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sink of a direction: where a session's messages go. A message socket takes them by
 * sendmsg(2), a stream as frames by way of a pipe, and a socket that is only received from takes
 * none.
 */
#pragma once

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

/* Moves on what waits in the pipe. 0: empty; else as sink_send(). */
int sink_drain(struct session *session, unsigned direction);

/* Whether a message would be dropped as soon as it were sent: nobody there takes any. */
bool sink_is_void(const struct session *session, unsigned direction);
