/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session: one client, one target, and the bytes between them.
 *
 *               +------------------ a slot is FREE <--------------------+
 *               | claim                                                 |
 *            CLAIMED                                                    |
 *               | commit: the client's descriptor is the record's       |
 *   next    CONNECTING ----- no target answers, killed, client reset ---+--> ABORTING
 *   target  ^   |   \____                                               |       ^
 *      \____|   | connected                                             |       |
 *            RELAYING ------- a side was reset, timed out, killed ------+-------+
 *               | both FINs passed on                                   |
 *            ENDING ----------------------------------------------------+
 *
 * What must outlive the worker stands in the record (ledger.h); struct session is what an heir can find out anew.
 */
#pragma once

#include "base/timer.h"
#include "ledger/ledger.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct address;
struct config_route;
struct generation;
struct spliced_row;
struct thread;

/* Why a session ends, for log and counters. */
enum session_end {
	END_DONE = 1,    /* both sides said FIN */
	END_DENIED,      /* by allow or deny: an orphan that nobody had looked at */
	END_CLIENT_RESET,
	END_TARGET_RESET,
	END_UNREACHABLE, /* no target answered */
	END_CONNECT_TIMEOUT,
	END_IDLE,
	END_KILLED,
	END_POISON,      /* in hand at two deaths of the worker's own making */
	END_AUDIT,       /* bytes missing after a crash */
	END_STOP,        /* the daemon stops */
	END_ERROR,       /* the kernel refused something */
};

struct session {
	struct timer timer; /* CONNECTING: deadline or next attempt; RELAYING: idle, or waiting for a pipe */
	struct thread *thread;
	struct ledger_session *record;
	struct session *ready_next;
	const struct generation *generation;
	const struct config_route *route;
	uint32_t fill[2];      /* bytes in the pipe, by source */
	uint32_t pipe_size[2]; /* bytes, while one is lent */
	bool readable[2], writable[2]; /* by side: may be; false once the kernel said EAGAIN */
	bool hangup[2];        /* by side: a FIN or an end was announced: read until it is seen */
	bool failed[2];        /* by side: EPOLLERR: an error waits to be taken */
	bool queued;           /* on the thread's ready list */
	bool starved;          /* waits for a pipe */
	uint8_t peer_len;      /* of the client's address, for the log: the kernel forgets it before we do; 0: longer */
	uint8_t peer[30];
};

/* Registered once, for both directions of a socket, edge-triggered. */
#define SESSION_EVENTS ((uint32_t)(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET))
#define SESSION_TARGET_BIT (1u << 31)

struct session *session_at(const struct thread *thread, uint32_t slot);
uint32_t session_slot(const struct session *session);
static inline struct ledger_session *session_record(const struct session *session)
{
	return session->record;
}

/* What kind of socket a side is. */
const struct spliced_row *session_row(const struct session *session, unsigned side);

struct ledger_counter *session_counter(const struct session *session);

/* Makes a session anew in a slot that the thread has claimed or adopts. */
void session_attach(struct session *session, struct thread *thread);

/* Every change of state; it asserts that the move is one of the picture above. */
void session_set_state(struct session *session, enum ledger_session_state state);

/* A claimed slot whose record is filled: commits it, and starts to connect. */
void session_begin(struct session *session, const struct address *peer);

/* A record of the worker before, CONNECTING or RELAYING: takes it up where it stands, and services it once. A record whose
 * `kill` is set is ended for that reason instead. */
void session_adopt(struct thread *thread, uint32_t slot, const struct generation *generation);

/* An event of the loop. `index`: slot, and bit 31 for the side. */
void session_handle(void *thread, uint32_t index, uint32_t events);

/* The target is connected: CONNECTING to RELAYING. */
void session_relay(struct session *session);

/* Moves what can be moved; ends the session when all is said. */
void session_service(struct session *session);

/* Ends the session: by FIN where all was said, else by RST where the family has one. `error`: 0 or negative errno. */
void session_end(struct session *session, enum session_end why, int error);

/* ABORTING: closes, once what was sent before the reset has arrived, or its time is up. */
void session_end_wait(struct session *session);

/* Serves the sessions that had more to do than their turn allowed. */
void session_serve_ready(struct thread *thread);
void session_queue(struct session *session);

const char *session_end_name(enum session_end why);
