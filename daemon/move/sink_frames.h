/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams as sinks: messages as frames. */
#pragma once

#include "move/step.h"

#include <sys/uio.h>

struct session;

/* Puts the frames of messages, from *taken on, into the direction's empty pipe, as many as fit into
 * it and the buffers. 0; or as sink_send(), and none is accepted. */
int sink_put_frames(struct session *session, unsigned direction, const struct iovec *messages,
		    unsigned count, unsigned *taken);
