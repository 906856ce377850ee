/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source of a direction, where a message socket is read one by one: the message at the head of
 * its queue is looked at, and consumed once the sink has it. Where the kernel cannot peek it is
 * taken at once.
 */
#pragma once

#include <spliced/plugin.h>

#include <stdbool.h>
#include <stddef.h>

struct session;

enum source_result {
	SOURCE_MESSAGE = 0,
	SOURCE_NOTHING, /* the queue is empty */
	SOURCE_END,	/* and stays so; noted in the record, be it an end or a reset */
	SOURCE_AGAIN,
	SOURCE_LOST, /* the kernel had no room: format_lost() finds out whether it dropped some */
	SOURCE_REFUSED, /* the family does not want it; counted */
	SOURCE_SHORT,	/* the kernel has no memory for it now */
	SOURCE_MOVED,	/* the target is gone, and another member of the pool is to take its place:
			   session_reconnect() */
};

/* Looks at the first message of side `s`. SOURCE_MESSAGE: it is in *ret, as far as there was room,
 * until the thread's buffers are used next; *len is its true length in bytes. Else enum
 * source_result, or as source_judge(). */
int source_peek(struct session *session, unsigned s, struct spliced_message *ret, size_t *len);

/* Consumes it. 0; or what sink_send() said of the loss that showed on the way. RELAY_STARVED: it
 * could not be, and is owed: nothing else may be taken from that side before. */
int source_consume(struct session *session, unsigned s);

/* Counts messages that were taken and had descriptors. */
void source_count_stripped(const struct session *session, unsigned count);

/* What an error (errno) of recv(2) on side `s` means: enum source_result. SOURCE_END: it was reset,
 * which is noted. Negative errno: the kernel refused what it never should. */
int source_judge(struct session *session, unsigned s, int error);

/* What the kernel took out of a feed's message is put back by its family. Negative: it is dropped
 * and counted. */
int source_mend(struct session *session, unsigned s, const struct msghdr *header,
		struct spliced_message *message);
