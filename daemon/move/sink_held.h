/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What waits in a pipe for a target that is still being connected. */
#pragma once

#include "move/step.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct session;

/* Holds messages of peers that cannot be blocked while the target is being connected: in a pipe,
 * each prefixed with its length. As sink_send(). */
int sink_hold(struct session *session, unsigned direction, const struct iovec *messages,
	      unsigned count, unsigned *taken);

/* The next complete message in n held bytes. False: there is none; *at is then behind the last
 * complete one. */
bool sink_next_held(uint8_t *bytes, size_t n, size_t *at, struct iovec *ret);

/* The next whole message of what waits in the pipe for the target, of which n bytes were read; *at
 * is then behind it. False: there is none. */
bool sink_next_waiting(const struct session *session, uint8_t *bytes, size_t n, size_t *at,
		       struct iovec *ret);

/* Adopts what waits in the pipe of a previous worker's session for a target that is still being
 * connected: nothing is written behind a truncated message. */
void sink_adopt(struct session *session, unsigned direction);
