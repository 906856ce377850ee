/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Closing. What surprised us: SO_LINGER, which served as a mark once, is an abort where a family
 * implements it, and cut off what a late reader had not got. A descriptor's number does not
 * identify a socket: another thread's accept(2) may get it at once.
 */
#include "ledger/closing.h"

#include "base/assert.h"
#include "ledger/ledger.h"
#include "net/socket.h"

#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Distinguishes a peer's name from a cookie, which the kernel counts up from 1. */
#define PEER_BIT (UINT64_C(1) << 63)

uint64_t closing_name(int fd)
{
	assert(fd >= 0);
	return socket_cookie(fd) & ~PEER_BIT;
}

uint64_t closing_name_of_peer(int fd, const struct address *peer)
{
	assert(peer->len > 0);
	return XXH3_64bits_withSeed(&peer->storage, peer->len, (uint64_t)fd) | PEER_BIT;
}

void closing_close(struct ledger_thread *thread, int32_t *place, uint64_t name)
{
	int fd = *place;

	if (fd < 0)
		return;
	atomic_store_explicit(&thread->closing, name, memory_order_release);
	/* The order of the stores matters only if this process dies between them. */
	atomic_signal_fence(memory_order_seq_cst);
	*place = -1;
	atomic_signal_fence(memory_order_seq_cst);
	close(fd);
	atomic_store_explicit(&thread->closing, 0, memory_order_release);
}

bool closing_names(const struct ledger *ledger, int fd)
{
	uint64_t cookie = closing_name(fd), by_peer = 0;
	struct address peer;

	if (!socket_peer_address(fd, &peer))
		by_peer = closing_name_of_peer(fd, &peer);
	for (uint32_t i = 0; i <= ledger->n_threads; i++) {
		uint64_t name = ledger->threads[i].closing;

		if (name && (name == cookie || name == by_peer))
			return true;
	}
	return false;
}
