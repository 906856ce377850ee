/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Slots: places for sessions in the ledger, claimed and given back by any thread without a lock. At
 * most max_sessions are claimed at once.
 */
#pragma once

#include <stdint.h>

struct ledger_listener;
struct ledger_session;
struct session;
struct thread;

/* Claims a free slot, its record empty and the thread's; NULL where there is none. */
struct session *slot_claim(struct thread *thread);

/* Gives a slot back: its record is CLAIMED, ENDING or ABORTING and names no descriptor. */
void slot_release(struct session *session);

/* The route (its record in the ledger) is at a limit now: enum ledger_pause. */
void slot_note_limit(struct thread *thread, uint32_t route, uint32_t why);

/* Empties a record but for its state, and gives it to a thread. */
void slot_init(struct ledger_session *record, uint16_t thread);

/* Puts a connection into a record that came from a listener. */
void slot_accept(struct ledger_session *record, const struct ledger_listener *listener, int fd);

/* The same for a session that a listener feeds: the socket stays the listener's. */
void slot_feed(struct ledger_session *record, const struct ledger_listener *listener,
	       uint32_t index);
