/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a rival takes the record's place, the record has no socket for an instant: an heir then
 * connects again. */
#include "dispatch/race.h"

#include "base/assert.h"
#include "config/config.h"
#include "dispatch/chain.h"
#include "session/session.h"
#include "session/slot.h"
#include "session/thread.h"

#include <unistd.h>

_Static_assert((int)RACE_RIVALS == (int)SESSION_RIVALS, "a place for each rival");

int race_fd(const struct session *session, unsigned rival)
{
	assert(rival < RACE_RIVALS);
	return (int)session->rivals[rival].fd - 1;
}

bool race_is_possible(const struct session *session)
{
	return !(session_row(session, session_connecting_side(session))->capabilities &
		 (SPLICED_CONNECTIONLESS | SPLICED_BINDS | SPLICED_FILE));
}

bool race_has_room(const struct session *session)
{
	for (unsigned i = 0; i < RACE_RIVALS; i++)
		if (race_fd(session, i) < 0)
			return true;
	return false;
}

bool race_is_meant(const struct session *session, unsigned rival, uint32_t serial)
{
	return serial && rival < RACE_RIVALS &&
	       atomic_load_explicit(&session->rivals[rival].watch, memory_order_acquire) == serial;
}

unsigned race_address(const struct session *session)
{
	return session->race_won ? session->race_address : session_record(session)->address;
}

void race_close(struct session *session, unsigned rival)
{
	int fd = race_fd(session, rival);

	session->rivals[rival].watch = 0;
	session->rivals[rival].fd = 0;
	if (fd >= 0)
		close(fd);
}

void race_end(struct session *session)
{
	for (unsigned i = 0; i < RACE_RIVALS; i++)
		race_close(session, i);
	session->race_won = false;
}

/* A free place, or that of the oldest attempt. */
static unsigned find_place(const struct session *session)
{
	unsigned oldest = 0;

	for (unsigned i = 0; i < RACE_RIVALS; i++) {
		if (race_fd(session, i) < 0)
			return i;
		if (session->rivals[i].address < session->rivals[oldest].address)
			oldest = i;
	}
	return oldest;
}

void race_put_aside(struct session *session)
{
	struct ledger_session *record = session_record(session);
	unsigned side = session_connecting_side(session), place = find_place(session);
	struct thread *thread = session->thread;
	int fd = record->fd[side];

	assert(fd >= 0 && !session->race_won);
	race_close(session, place);
	thread->watched = loop_next_serial(thread->watched);
	session->rivals[place].address = record->address;
	session->rivals[place].leg = side ? record->connect_leg : record->leg;
	session->rivals[place].fd = (uint32_t)fd + 1;
	chain_forget(session, side);
	session->side[side].watch = 0;
	record->fd[side] = -1;
	atomic_store_explicit(&session->rivals[place].watch, thread->watched, memory_order_release);
	if (loop_change(&thread->loop, fd, SESSION_EVENTS, KIND_RIVAL,
			loop_name(session_slot(session) | place << SESSION_RIVAL_SHIFT,
				  thread->watched)))
		race_close(session, place);
}

bool race_take(struct session *session, unsigned rival)
{
	struct ledger_session *record = session_record(session);
	unsigned side = session_connecting_side(session);
	int fd = race_fd(session, rival);

	assert(fd >= 0 && record->fd[side] < 0);
	if (side)
		record->connect_leg = session->rivals[rival].leg;
	else
		record->leg = session->rivals[rival].leg;
	session->race_won = true;
	session->race_address = session->rivals[rival].address;
	session->rivals[rival].watch = 0;
	loop_remove(&session->thread->loop, fd);
	slot_take_socket(session->thread->worker->ledger, record, side, fd);
	session->rivals[rival].fd = 0;
	if (!session_watch(session, side))
		return true;
	session_close(session, side);
	return false;
}

bool race_take_newest(struct session *session)
{
	for (;;) {
		int newest = -1;

		for (unsigned i = 0; i < RACE_RIVALS; i++)
			if (race_fd(session, i) >= 0 &&
			    (newest < 0 ||
			     session->rivals[i].address > session->rivals[newest].address))
				newest = (int)i;
		if (newest < 0)
			return false;
		if (race_take(session, (unsigned)newest))
			return true;
	}
}
