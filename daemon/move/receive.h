/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Receiving: the one place where a message socket is read, whatever its row, so that no descriptor
 * comes in with a message. There is no room for any: the kernel discards them, and each message
 * that had some is counted once, when it is taken.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buffers;
struct spliced_row;

/* Before a message socket is read. It says nothing beside its messages that is not asked for, also
 * where it was passed to us with other options set. */
void receive_prepare(int fd, const struct spliced_row *row);

/*
 * Receives up to `count` messages into the thread's buffers, of `size` bytes and their headroom
 * each; their `in` and `in_parts` tell of them, msg_len is the true length. flags: 0, or MSG_PEEK:
 * it stays in the queue; count is 1 then. Their number, or negative errno.
 */
int receive_messages(struct buffers *buffers, int fd, const struct spliced_row *row, size_t size,
		     unsigned count, int flags);

/* How many of the first `count` in the buffers had descriptors. */
unsigned receive_count_stripped(const struct buffers *buffers, const struct spliced_row *row,
				unsigned count);

/* What is told of a message that is taken. */
struct receive_taken {
	unsigned lost; /* how often the kernel said ENOBUFS before it */
	bool stripped; /* it had descriptors */
};

/* Takes the message at the head out of the queue, past the errors that wait before it. False: it
 * could not be. */
bool receive_take(int fd, const struct spliced_row *row, struct receive_taken *ret);
