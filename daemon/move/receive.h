/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Receiving: the one place where a message socket is read, whatever its row, so that no descriptor
 * is received with a message. There is no room for any: the kernel discards them, and each message
 * that had some is counted once, when it is consumed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buffers;
struct spliced_row;

/* Prepares a message socket for reading: turns off control data that is not needed, which may be on
 * if the socket was passed to us. */
void receive_prepare(int fd, const struct spliced_row *row);

/*
 * Receives up to `count` messages into the thread's buffers, of `size` bytes and their headroom
 * each; `in` and `in_parts` of the buffers describe them, msg_len is the true length. flags: 0, or
 * MSG_PEEK: it stays in the queue; count is 1 then. Returns their number, or negative errno.
 */
int receive_messages(struct buffers *buffers, int fd, const struct spliced_row *row, size_t size,
		     unsigned count, int flags);

/* How many of the first `count` in the buffers had descriptors. */
unsigned receive_count_stripped(const struct buffers *buffers, const struct spliced_row *row,
				unsigned count);

/* What is reported of a consumed message. */
struct receive_taken {
	unsigned lost; /* number of ENOBUFS errors before it */
	bool stripped; /* it had descriptors */
};

/* Consumes the message at the head of the queue, after the pending errors before it. False: not
 * possible. */
bool receive_take(int fd, const struct spliced_row *row, struct receive_taken *ret);
