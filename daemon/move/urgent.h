/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Urgent data, tcp(7). splice(2) never gets past an urgent byte; so it is copied into the pipe, one
 * byte, in its place in the stream, and is ordinary data at the other side.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger_session;
struct session;

enum urgent_result {
	URGENT_NONE,	  /* no urgent byte is next */
	URGENT_MOVED,	  /* it is in the pipe, and out of the socket */
	URGENT_UNSETTLED, /* the counts keep changing: try again */
	URGENT_NO_ROOM,	  /* in the pipe */
};

/* splice(2) from a side's socket returned nothing: checks whether an urgent byte is next, and puts
 * it into the pipe (which has `len` bytes; updated). staged: the pipe is the stage. */
int urgent_take(struct session *session, unsigned s, int pipe, uint32_t *len, bool staged);

/* Whether MSG_PEEK of a stream showed `len` bytes and no more because an urgent byte follows. */
bool urgent_hides(struct session *session, unsigned s, size_t len);

/* Completes what a dead worker began: an urgent byte that is in the pipe is removed from the
 * socket. */
void urgent_settle(struct ledger_session *record);
