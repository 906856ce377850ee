/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plan: which mover a session has, and what the mover needs to know of each side. */
#include "move/mover.h"

#include "base/assert.h"
#include "config/config.h"
#include "move/exchange.h"
#include "move/relay.h"
#include "move/roam.h"
#include "session/direction.h"
#include "session/lane.h"
#include "session/session.h"

static bool is_message(const struct session *session, unsigned side)
{
	return session_row(session, side)->capabilities & SPLICED_BOUNDARIES;
}

static bool is(const struct session *session, unsigned side, uint64_t capability)
{
	return session_row(session, side)->capabilities & capability;
}

static enum config_overflow overflow_of(const struct session *session, unsigned side)
{
	if (session->route->overflow != OVERFLOW_AUTO)
		return session->route->overflow;
	/* A stream or a reliable sender is blocked by not reading; for a format that reports losses
	 * the kernel's count is better than ours. */
	return !is_message(session, side) || is(session, side, SPLICED_RELIABLE) ||
			       session->side[side].format
		       ? OVERFLOW_BLOCK
		       : OVERFLOW_DROP_NEW;
}

static enum spliced_framing framing_at(const struct session *session, unsigned side,
				       const struct config_endpoint *endpoint)
{
	enum spliced_framing framing = endpoint->framing;

	if (framing == SPLICED_FRAMING_UNSET && session->side[!side].format)
		framing = (enum spliced_framing)session->side[!side].format->framing;
	return framing == SPLICED_FRAMING_UNSET ? SPLICED_FRAMING_NONE : framing;
}

void mover_forget_frames(struct session *session, const struct config_endpoint *next)
{
	bool messages = next->legs[0].row->capabilities & SPLICED_BOUNDARIES;
	enum spliced_framing framing =
		messages ? SPLICED_FRAMING_UNSET : framing_at(session, 1, next);

	assert(next->n_legs > 0);
	if (!session->mover || !session->direction[0].fill || framing == session->side[1].framing)
		return;
	direction_discard_pipe(session, 0);
}

void mover_plan(struct session *session)
{
	assert(session->route && session->generation);
	session->exchanges =
		is_message(session, 0) || is_message(session, 1) ||
		session_endpoint(session, 0)->framing != session_endpoint(session, 1)->framing;
	for (unsigned side = 0; side < 2; side++)
		session->side[side].format = session_endpoint(session, side)->format;
	for (unsigned side = 0; side < 2; side++) {
		session->side[side].framing =
			session->exchanges && !is_message(session, side)
				? framing_at(session, side, session_endpoint(session, side))
				: SPLICED_FRAMING_UNSET;
		session->side[side].max_frame = session_endpoint(session, side)->max_frame;
		session->side[side].overflow = overflow_of(session, side);
		session->side[side].receive_only = config_is_receive_only(
			session_endpoint(session, side), session_leg(session, side));
	}
	session->keeps = session->route->n_targets > 1 && !lane_is(session) &&
			 is_message(session, 1) &&
			 !is(session, 1, SPLICED_FEED | SPLICED_BINDS | SPLICED_FILE);
	session->roams = roam_is_asked(session);
	assert(session->side[0].overflow != OVERFLOW_AUTO &&
	       session->side[1].overflow != OVERFLOW_AUTO);
	assert(session->exchanges || (!session->side[0].framing && !session->side[1].framing));
	session->mover = session->exchanges ? &exchange_mover : &relay_mover;
}
