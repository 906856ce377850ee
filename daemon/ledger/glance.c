/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Glances. The thread that takes a session's slot raises its serial before it writes anything else
 * there. A listener's record changes its use only while it is FREE or PENDING, or while no worker
 * runs. So a copy is consistent if the serial is the same, and the listener in neither of these
 * states, before and after it was made.
 */
#include "ledger/glance.h"

#include "ledger/ledger.h"

#include <string.h>

static bool is_session(uint32_t state)
{
	return state >= SESSION_CONNECTING;
}

bool glance_session(const struct ledger *ledger, uint32_t slot, struct ledger_session *ret)
{
	const struct ledger_session *record = &ledger->sessions[slot];
	uint32_t serial = __atomic_load_n(&record->serial, __ATOMIC_ACQUIRE);

	if (!is_session(atomic_load_explicit(&record->state, memory_order_acquire)))
		return false;
	memcpy(ret, record, sizeof *ret);
	atomic_thread_fence(memory_order_acquire);
	return is_session(ret->state) &&
	       __atomic_load_n(&record->serial, __ATOMIC_RELAXED) == serial;
}

static bool is_told_of(uint32_t state)
{
	return state == LISTENER_OPEN || state == LISTENER_LEAVING || state == LISTENER_WAITING;
}

bool glance_listener(const struct ledger *ledger, uint32_t index, struct ledger_listener *ret)
{
	const struct ledger_listener *record = &ledger->listeners[index];

	if (!is_told_of(atomic_load_explicit(&record->state, memory_order_acquire)))
		return false;
	memcpy(ret, record, sizeof *ret);
	atomic_thread_fence(memory_order_acquire);
	return is_told_of(ret->state) &&
	       is_told_of(atomic_load_explicit(&record->state, memory_order_relaxed));
}
