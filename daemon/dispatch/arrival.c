/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/arrival.h"

#include "base/assert.h"
#include "config/config.h"
#include "dispatch/target.h"
#include "session/session.h"
#include "session/thread.h"

static const struct config_endpoint *endpoint_of(const struct session *session)
{
	return session_endpoint(session, session_connecting_side(session));
}

void arrival_aim(const struct session *session, struct address *address)
{
	const struct config_endpoint *endpoint = endpoint_of(session);

	if (!endpoint->follows_port)
		return;
	assert(session_leg(session, 0)->port);
	address_set_port(address,
			 (uint16_t)(session_leg(session, 0)->port + endpoint->port_offset));
}

bool arrival_address(const struct session *session, unsigned index, unsigned *leg,
		     struct address *ret)
{
	if (!target_address(session->thread->worker->ledger, endpoint_of(session),
			    session_target_slot(session), index, leg, ret))
		return false;
	arrival_aim(session, ret);
	return true;
}
