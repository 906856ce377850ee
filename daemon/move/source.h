/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source of a direction, where a message socket is read one by one: the message at the head of
 * its queue is peeked at, and consumed once the sink has it. If the kernel cannot peek, it is
 * consumed at once.
 */
#pragma once

#include <spliced/plugin.h>

#include <stdbool.h>
#include <stddef.h>

struct session;

enum source_result {
	SOURCE_MESSAGE = 0,
	SOURCE_NOTHING, /* the queue is empty */
	SOURCE_END,	/* and stays so; noted in the record, as EOF or reset */
	SOURCE_AGAIN,
	SOURCE_LOST, /* the kernel had no room: format_lost() checks whether messages were dropped
		      */
	SOURCE_REFUSED, /* the family refuses it; counted */
	SOURCE_SHORT,	/* the kernel has no memory for it now */
	SOURCE_MOVED,	/* the target is gone, and another member of the pool is to take its place:
			   session_reconnect() */
};

/* Peeks at the first message of side `s`. SOURCE_MESSAGE: it is in *ret, as far as there was room,
 * until the thread's buffers are used again; *len is its true length in bytes. Else enum
 * source_result, or as source_judge(). */
int source_peek(struct session *session, unsigned s, struct spliced_message *ret, size_t *len);

/* Consumes it. 0; or the result of sink_send() for a loss report on the way. RELAY_STARVED: not
 * possible now; it is owed, and must be consumed before anything else of that side. */
int source_consume(struct session *session, unsigned s);

/* Counts consumed messages that had descriptors. */
void source_count_stripped(const struct session *session, unsigned count);

/* What an error (errno) of recv(2) on side `s` means: enum source_result. SOURCE_END: it was reset,
 * which is noted. Negative errno: an error that the kernel should never return. */
int source_judge(struct session *session, unsigned s, int error);

/* Lets the family restore what the kernel removed from a feed's message. Negative: it is dropped
 * and counted. */
int source_mend(struct session *session, unsigned s, const struct msghdr *header,
		struct spliced_message *message);
