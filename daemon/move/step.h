/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a step of one direction comes to, be it relay or exchange. */
#pragma once

/* Of a session's two directions, the one whose result stands further down here decides what becomes
 * of the session. Negative: an errno that the kernel should never give, which ends it. What moved
 * in a step, or was learnt, is in `moved` of the session. */
enum step_result {
	RELAY_DONE = 1,	  /* the source's end was passed on */
	RELAY_BLOCKED,	  /* nothing more can be moved now: an event tells when */
	RELAY_SINK_RESET, /* the sink is gone: nothing can be moved any more */
	RELAY_STARVED,	  /* the kernel lacks a pipe, or memory: no event tells when it has it */
	RELAY_MORE,	  /* the turn's share is used up, and there may be more */
	SINK_RECONNECT,	  /* the target's datagram socket is gone: what follows goes to the next one
			     at its address */
	SINK_SATISFIED,	  /* all the replies that were expected are through: the session is over */
	RELAY_SOURCE_RESET, /* all that the source sent before its reset was passed on */
	EXCHANGE_BAD_FRAME, /* the source stream holds no frame, or one larger than max_frame */
};
