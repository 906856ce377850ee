/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The result of a step of one direction, in relay or exchange. */
#pragma once

/* Of a session's two directions, the one whose result is further down in this list decides the
 * session's fate. Negative: an errno that the kernel should never return; it ends the session.
 * `moved` of the session is set if a step moved or learned something. */
enum step_result {
	RELAY_DONE = 1,	  /* the source's EOF was forwarded */
	RELAY_BLOCKED,	  /* nothing more can be moved before an event */
	RELAY_SINK_RESET, /* the sink is gone: nothing can be moved any more */
	RELAY_STARVED,	  /* no pipe or memory is available: no event reports when it is */
	RELAY_MORE,	  /* the turn's share is used up, and there may be more */
	SINK_RECONNECT,	  /* the target's datagram socket is gone: what follows goes to the next one
			     at its address */
	SINK_SATISFIED,	  /* all expected replies were forwarded: the session is over */
	RELAY_SOURCE_RESET, /* all that the source sent before its reset was forwarded */
	EXCHANGE_BAD_FRAME, /* the source stream holds no frame, or one larger than max_frame */
};
