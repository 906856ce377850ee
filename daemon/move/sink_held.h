/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What waits in a pipe for a target that is still being connected. */
#pragma once

#include "move/step.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct session;

/* What comes from peers that cannot be held back, while the target is being connected: it waits in
 * a pipe, each message behind its length. As sink_send(). */
int sink_hold(struct session *session, unsigned direction, const struct iovec *messages,
	      unsigned count, unsigned *taken);

/* The next whole message of n bytes that were held. False: there is none; *at is then behind the
 * last that is whole. */
bool sink_next_held(uint8_t *bytes, size_t n, size_t *at, struct iovec *ret);

/* The next whole message of what waits in the pipe for the target, of which n bytes were read; *at
 * is then behind it. False: there is none. */
bool sink_next_waiting(const struct session *session, uint8_t *bytes, size_t n, size_t *at,
		       struct iovec *ret);

/* What waits in the pipe of a session that a worker before this one had, for a target that is still
 * being connected: nothing is put behind a message that was cut. */
void sink_adopt(struct session *session, unsigned direction);
