/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Roaming. What surprised us about the kernel: an unconnected UDP socket gets no errors, unless it
 * requests them (IP_RECVERR), and then they must be read from a separate queue; and one that was
 * connected and is disconnected loses the device it was bound to. So another socket is used to find
 * out which address the kernel would send from.
 */
#include "move/roam.h"

#include "base/assert.h"
#include "config/config.h"
#include "net/address.h"
#include "net/socket.h"
#include "session/endpoint_socket.h"
#include "session/session.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool roam_is_asked(const struct session *session)
{
	return session_endpoint(session, 1)->reply_from != REPLY_FROM_TARGET;
}

void roam_aim(struct session *session, const struct address *address)
{
	struct ledger_flow *flow = session_flow(session);

	assert(address->len <= sizeof flow->far);
	flow->far_len = 0;
	memcpy(flow->far, &address->storage, address->len);
	flow->far_len = (uint8_t)address->len;
}

int roam_begin(struct session *session, int fd, const struct address *address)
{
	struct address local;
	int probe = endpoint_socket_open(session_endpoint(session, 1),
					 session_record(session)->connect_leg),
	    r;

	assert(fd >= 0);
	if (probe < 0)
		return probe;
	r = address->len > sizeof session_flow(session)->far ? -EAFNOSUPPORT
							     : socket_connect(probe, address);
	if (!r)
		r = socket_sender_address(probe, &local);
	close(probe);
	if (!r)
		r = socket_bind_host(fd, &local);
	if (r)
		return r;
	socket_want_errors(fd);
	roam_aim(session, address);
	return 0;
}

bool roam_has_begun(const struct session *session)
{
	return session_flow(session)->far_len;
}

void roam_end(struct session *session)
{
	if (session_flow(session)->far_len)
		session_flow(session)->far_len = 0;
}

bool roam_hears(struct session *session, const struct msghdr *received)
{
	const struct ledger_flow *flow = session_flow(session);
	struct address from = {.len = received->msg_namelen}, far = {.len = flow->far_len};

	assert(session->roams && flow->far_len <= sizeof flow->far);
	if (!received->msg_name || from.len > sizeof flow->far)
		return false;
	memcpy(&from.storage, received->msg_name, from.len);
	memcpy(&far.storage, flow->far, far.len);
	if (session_endpoint(session, 1)->reply_from == REPLY_FROM_HOST &&
	    !address_is_same_host(&from, &far))
		return false;
	if (!address_equal(&from, &far))
		roam_aim(session, &from);
	return true;
}

void roam_take_errors(struct session *session)
{
	if (session->roams)
		socket_forget_errors(session_record(session)->fd[1]);
}
