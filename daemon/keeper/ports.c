/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports. It owns an index of what was seen, valid while only its caller opens and closes
 * sockets. */
#include "keeper/ports.h"

#include "base/index.h"
#include "ledger/ledger.h"
#include "net/socket.h"

#include <netinet/in.h>

static struct index ports;
static bool known;

static uint16_t port_of(const struct address *address)
{
	const void *storage = &address->storage;

	switch (address->storage.ss_family) {
	case AF_INET:
		return ((const struct sockaddr_in *)storage)->sin_port;
	case AF_INET6:
		return ((const struct sockaddr_in6 *)storage)->sin6_port;
	}
	return 0;
}

static uint64_t port_hash(const struct address *address)
{
	const uint16_t facts[] = {address->storage.ss_family, port_of(address)};

	return index_hash(facts, sizeof facts, 0);
}

/* All sockets of a record are bound to one address. */
static void note(const struct ledger_listener *record)
{
	struct address address;

	for (uint32_t k = 0; record->state != LISTENER_FREE && k < ledger_sockets(record); k++)
		if (record->fds[k] >= 0 && !socket_local_address(record->fds[k], &address)) {
			/* Without memory it is bound alone first, and refused if it conflicts
			 * with itself. */
			(void)index_add(&ports, port_hash(&address), 0);
			return;
		}
}

bool ports_has(const struct ledger *ledger, const struct address *address)
{
	for (uint32_t i = 0; !known && i < ledger_listeners_high(ledger); i++)
		note(&ledger->listeners[i]);
	known = true;
	return index_next(&ports, port_hash(address), &(size_t){0}, &(uint32_t){0});
}

void ports_note(const struct address *address)
{
	if (known)
		(void)index_add(&ports, port_hash(address), 0);
}

void ports_forget(void)
{
	index_done(&ports);
	known = false;
}
