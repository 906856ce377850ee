/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys of peers, for balance "source": the same for all sessions of one client. */
#pragma once

#include <stdint.h>

struct session;
struct sockaddr;

/* Of an address: of an IP or vsock address without its port; an IPv4 address that is mapped
 * counts as IPv4. 0: it identifies no peer. */
uint64_t peer_key(const struct sockaddr *address, uint32_t len);

/* Of a session's client: the user of a UNIX connection, else the address. 0: it cannot be
 * identified. */
uint64_t peer_key_of_session(const struct session *session);
