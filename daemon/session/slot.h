/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Slots: places for sessions in the ledger, claimed and returned by any thread without a lock. At
 * most max_sessions are claimed at once.
 */
#pragma once

#include <stdint.h>

struct ledger;
struct ledger_listener;
struct ledger_session;
struct session;
struct thread;

/* Claims a free slot, with an empty record that belongs to the thread; NULL if there is none. */
struct session *slot_claim(struct thread *thread);

/* Returns a slot: its record is CLAIMED, ENDING or ABORTING and has no descriptors. */
void slot_release(struct session *session);

/* The route (its record in the ledger) is at a limit now: enum ledger_pause. */
void slot_note_limit(struct thread *thread, uint32_t route, uint32_t why);

/* Clears a record except its state, and assigns it to a thread. */
void slot_init(struct ledger_session *record, uint16_t thread);

/* Puts a socket, or a file, into a record, and what identifies it. */
void slot_take_socket(struct ledger *ledger, struct ledger_session *record, unsigned side, int fd);

/* Puts a connection accepted by a listener into a record. */
void slot_accept(struct ledger *ledger, struct ledger_session *record,
		 const struct ledger_listener *listener, int fd);

/* The same for a session that a listener feeds: the socket stays the listener's. */
void slot_feed(struct ledger_session *record, const struct ledger_listener *listener,
	       uint32_t index);
