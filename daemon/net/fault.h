/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the errno of a failed call on a socket, a pipe or an epoll set means: one table for all
 * calls and both directions. */
#pragma once

/* Up to FAULT_SHORTAGE nothing was done, and the same call may succeed later. */
enum fault {
	FAULT_BLOCKED,	   /* nothing to read, or no room: an event will report when there is */
	FAULT_INTERRUPTED, /* nothing was done: repeat the call */
	FAULT_SHORTAGE, /* the kernel lacks a resource: nothing was done, and no event reports when
			   it is available; retry after a while */
	FAULT_MESSAGE,	/* this message cannot be sent, others can */
	FAULT_PEER,	/* the peer, or the way to it, is gone */
	FAULT_CALL,	/* the kernel does not allow or know the call: treated as a mistake in this
			   program */
};

/* error: positive errno. */
enum fault fault_of(int error);
