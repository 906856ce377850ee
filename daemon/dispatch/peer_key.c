/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/peer_key.h"

#include "config/config.h"
#include "net/socket.h"
#include "session/session.h"

#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t key_of(const void *bytes, size_t len)
{
	uint64_t key = XXH3_64bits(bytes, len);

	return key ? key : 1;
}

static uint64_t key_of_inet6(const struct sockaddr_in6 *address)
{
	const uint8_t *bytes = address->sin6_addr.s6_addr;

	return IN6_IS_ADDR_V4MAPPED(&address->sin6_addr) ? key_of(bytes + 12, 4)
							 : key_of(bytes, sizeof address->sin6_addr);
}

uint64_t peer_key(const struct sockaddr *address, uint32_t len)
{
	struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};

	if (len <= sizeof(sa_family_t) || len > sizeof storage)
		return 0;
	memcpy(&storage, address, len);
	switch (storage.ss_family) {
	case AF_INET:
		return key_of(&((const struct sockaddr_in *)&storage)->sin_addr, 4);
	case AF_INET6:
		return key_of_inet6((const struct sockaddr_in6 *)&storage);
	case AF_VSOCK:
		return key_of(&((const struct sockaddr_vm *)&storage)->svm_cid, 4);
	default:
		return key_of(&storage, len);
	}
}

uint64_t peer_key_of_session(const struct session *session)
{
	const struct ledger_session *record = session_record(session);
	const struct ledger_flow *flow = session_flow(session);
	struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
	uid_t uid;
	gid_t gid;

	if (record->front == FRONT_FED) {
		memcpy(&storage, flow->peer, sizeof flow->peer);
		return peer_key((const struct sockaddr *)&storage, flow->peer_len);
	}
	/* Other sockets report credentials, too, which are empty. */
	if (record->front == FRONT_ACCEPTED &&
	    session_leg(session, 0)->family->plugin.domain == AF_UNIX &&
	    !socket_peer_credentials(record->fd[0], &uid, &gid))
		return key_of(&uid, sizeof uid);
	memcpy(&storage, session->peer, session->peer_len);
	return peer_key((const struct sockaddr *)&storage, session->peer_len);
}
