/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an errno means that a call on a socket, a pipe or an epoll set gave: one table for all calls
 * and both directions. */
#pragma once

/* Up to FAULT_SHORTAGE nothing has happened, and the same call may do it later. */
enum fault {
	FAULT_BLOCKED,	   /* nothing to take, or no room: an event tells when there is */
	FAULT_INTERRUPTED, /* nothing happened: the same call again */
	FAULT_SHORTAGE, /* the kernel lacks something now: nothing happened, and no event tells when
			   it has it; again after a while */
	FAULT_MESSAGE,	/* this message cannot go, others can */
	FAULT_PEER,	/* the peer, or the way to it, is gone */
	FAULT_CALL, /* the kernel does not allow the call, or does not know it: as good as a mistake
		       of ours */
};

/* error: positive errno. */
enum fault fault_of(int error);
