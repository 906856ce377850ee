/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A place belongs to the session that its owner word names. To claim it, a session stores KEPT_BUSY
 * there by one compare-and-exchange, then the message, then its own name: so two sessions never
 * write to one place, a message that is read is complete, and a session that lost its place
 * notices. The heir frees places that a crash left busy (validate.c).
 */
#include "session/first_message.h"

#include "base/assert.h"
#include "session/session.h"
#include "session/thread.h"

#include <string.h>

enum { LOOKED_AT = 8 }; /* places searched for a free one */

static uint64_t name_of(const struct session *session)
{
	return ((uint64_t)session_slot(session) + 1) << 32 | session_record(session)->serial;
}

static struct ledger_kept *place_of(const struct session *session)
{
	uint32_t kept = session_flow(session)->kept;

	assert(kept <= LEDGER_KEPT_MAX);
	return kept ? &session->thread->worker->ledger->firsts[(kept - 1) % LEDGER_KEPT_MAX] : NULL;
}

/* A free place, or the oldest. NULL: another thread is using it. */
static struct ledger_kept *take(struct ledger *ledger)
{
	struct ledger_kept *oldest = NULL;
	uint64_t before;

	for (int i = 0; i < LOOKED_AT; i++) {
		struct ledger_kept *place =
			&ledger->firsts[atomic_fetch_add(&ledger->keeper->kept_turn, 1) %
					LEDGER_KEPT_MAX];

		before = KEPT_FREE;
		if (atomic_compare_exchange_strong(&place->owner, &before, KEPT_BUSY))
			return place;
		oldest = oldest ? oldest : place;
	}
	before = atomic_load(&oldest->owner);
	return before != KEPT_BUSY &&
			       atomic_compare_exchange_strong(&oldest->owner, &before, KEPT_BUSY)
		       ? oldest
		       : NULL;
}

void first_message_add(struct session *session, const struct iovec *message)
{
	struct ledger *ledger = session->thread->worker->ledger;
	struct ledger_kept *place = message->iov_len <= LEDGER_KEPT_BYTES ? take(ledger) : NULL;

	assert(!session_flow(session)->kept);
	assert(thread_is_self(session->thread));
	if (!place) {
		ledger_count(&session_counter(session)->unkept, 1);
		return;
	}
	place->len = (uint32_t)message->iov_len;
	memcpy(place->bytes, message->iov_base, message->iov_len);
	assert(place->owner == KEPT_BUSY);
	atomic_store_explicit(&place->owner, name_of(session), memory_order_release);
	session_flow(session)->kept = (uint32_t)(place - ledger->firsts) + 1;
}

bool first_message_read(const struct session *session, void *bytes, size_t *len)
{
	struct ledger_kept *place = place_of(session);

	if (!place || atomic_load_explicit(&place->owner, memory_order_acquire) != name_of(session))
		return false;
	*len = place->len;
	if (*len > LEDGER_KEPT_BYTES)
		return false;
	memcpy(bytes, place->bytes, *len);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&place->owner, memory_order_relaxed) == name_of(session);
}

void first_message_forget(struct session *session)
{
	struct ledger_kept *place = place_of(session);
	uint64_t own = name_of(session);

	if (!place)
		return;
	session_flow(session)->kept = 0;
	atomic_compare_exchange_strong(&place->owner, &own, KEPT_FREE);
}
