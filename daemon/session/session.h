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
 *             |   | both FINs forwarded                                 |
 *             |   |   (a datagram target that went away: CONNECTING)    |
 *            ENDING ----------------------------------------------------+
 *
 * What must outlive the worker is in the record (ledger.h); struct session has only what an heir
 * can determine again.
 */
#pragma once

#include "base/timer.h"
#include "ledger/ledger.h"

#include <spliced/plugin.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct address;
struct config_endpoint;
struct config_leg;
struct config_route;
struct generation;
struct mover;
struct permanent_front;
struct thread;

/* Why a session ends, for log and counters. */
enum { SESSION_TRIED_MAX = 4 };

enum session_end {
	END_DONE = 1, /* both sides sent FIN */
	END_DENIED,   /* by allow or deny: adopted before it was checked */
	END_CLIENT_RESET,
	END_TARGET_RESET,
	END_UNREACHABLE, /* no target answered */
	END_CONNECT_TIMEOUT,
	END_IDLE,
	END_KILLED,
	END_POISON,	 /* in hand at two crashes of the worker */
	END_AUDIT,	 /* bytes missing after a crash */
	END_STOP,	 /* the daemon stops */
	END_ERROR,	 /* a call was refused by the kernel */
	END_AGED,	 /* a datagram session that was idle */
	END_FRAMING,	 /* the bytes are not a frame, or a longer one than max_frame */
	END_RELOAD,	 /* its route, or its listener, was removed or changed */
	END_LOOP,	 /* its target leads back to its own route */
	END_EVICTED,	 /* a datagram session evicted for a newer peer */
	END_TARGET_DOWN, /* on_down: its target went down */
	END_FULL,	 /* all targets have max_sessions */
};

/* One of a session's two sockets, and reading from it. */
struct side {
	bool readable, writable; /* maybe; false after EAGAIN */
	bool hangup;		 /* a FIN or EOF was reported: read until it is seen */
	bool failed;		 /* EPOLLERR: there is a pending error */
	bool gone;		 /* EPOLLHUP: the peer is gone */
	bool lost;		 /* it was reset, which the kernel reports after the remaining data
				  */
	bool urgent;		 /* an urgent byte may be next (EPOLLPRI) */
	bool unwatched;		 /* it waits for a place in the epoll set */
	uint64_t own_key; /* chain.h: under which the socket is registered as ours; 0: it is not */
	_Atomic uint32_t watch; /* serial of its socket's events in the loop; 0: it is closed, or
				   was never watched */
	/* the plan: mover_plan() */
	bool receive_only; /* it accepts nothing */
	uint8_t overflow;  /* enum config_overflow, of messages from it; never AUTO */
	enum spliced_framing
		framing; /* of a stream that carries messages; UNSET: a message socket */
	uint32_t max_frame;
	const struct spliced_format *format; /* of messages from it */
	/* messages that are read from it */
	struct spliced_ring *ring; /* they are read from it; NULL: by recvmsg(2) */
	bool unpeekable;	   /* this kernel cannot peek at them */
	bool peeked;		   /* it has peeked at one */
	uint8_t unshown;	   /* ... and failed to, this often in a row */
	bool taken;		   /* the message in hand is out of the queue already */
	uint32_t owed; /* messages or bytes that were sent already, but are still to be removed from
			  the queue */
	uint64_t stuck; /* drop-old: exchange_gives_up() */
	/* frames that are read from it: stage.h */
	bool unpeeked;		     /* MSG_PEEK does not show all data: the stage is used */
	bool stage_news;	     /* the stage may hold a whole frame, */
	bool stage_end;		     /* and the source has sent EOF */
	uint32_t staged, stage_size; /* bytes in it, and its size */
};

/* One way through a session, from its source to its sink. What outlives the worker is in struct
 * ledger_direction. */
struct direction {
	uint32_t fill;	    /* bytes in the pipe */
	uint32_t pipe_size; /* bytes, while one is lent */
	uint32_t proof;	    /* lease.h: bytes to move before it gets a large pipe again */
	bool leased;	    /* ... the large pipe it has is watched */
	uint8_t polls;	    /* how often in a row a sink without events accepted nothing */
};

enum { SESSION_RIVALS = 2 };

/* CONNECTING: a round through the pool (dispatch/pool.h). */
enum { SESSION_ROUND_TRIED = 8 };

struct session_round {
	uint64_t seed;	 /* of a walk through the rest of the pool, ... */
	uint32_t walk;	 /* ... and its position */
	uint32_t left;	 /* members that are to be tried before the next pause */
	uint32_t spare;	 /* then this many of those that others are preferred to, at most */
	uint64_t spared; /* the highest rank and number of these that was tried */
	uint16_t tried[SESSION_ROUND_TRIED]; /* the first that were */
	uint8_t n_tried;
	bool down;   /* all were known to be down when it began; they are tried nevertheless */
	bool leaves; /* those tried are members that it has left */
	bool claims; /* the member being tried is down, and no other session tries it now */
};

struct session {
	struct timer timer; /* CONNECTING: deadline or next attempt; RELAYING: idle, or waiting for
			       a pipe */
	struct thread *thread;
	struct ledger_session *record;
	struct ledger_flow *flow;
	struct session *ready_next;
	const struct generation *generation;
	const struct config_route *route;
	struct side side[2];	       /* 0: the client, 1: the target */
	struct direction direction[2]; /* by source */
	uint32_t put; /* bytes that the frames in the pipe to the target had, as they were put
			 there; 0: not known */
	struct session_round round;
	struct {
		_Atomic uint32_t fd, watch; /* its descriptor, + 1, 0: none; as a side's */
		uint16_t address, leg;
	} rivals[SESSION_RIVALS]; /* earlier attempts that go on: dispatch/race.h */
	uint16_t race_address;	  /* ... of the one that has taken the newest's place, */
	bool race_won;		  /* if one has */
	uint32_t counted; /* pool.h: record of the target whose session it is, + 1; 0: of none */
	struct {
		uint16_t target, error; /* errno */
	} tried[SESSION_TRIED_MAX];	/* members that did not answer, for the log; those that this
					   worker tried last */
	uint8_t n_tried;
	int connect_error;   /* why it was given up, negative errno */
	uint8_t reached_len; /* of the address that a target's name had when it answered, for the
				log; 0: unknown */
	uint8_t reached[28];
	uint8_t asked; /* ... and how often its backlog was full */
	bool queued;   /* on the thread's ready list */
	bool moved;    /* in this turn something moved, or changed: it may be served again at once
			*/
	uint8_t vain;  /* turns in a row on the ready list without progress */
	bool starved;  /* waits for a resource: a pipe, memory */
	uint8_t believed;	    /* enum session_belief: EAGAIN, and no event since */
	uint64_t doubt;		    /* when to check that again, CLOCK_MONOTONIC ns; 0: never */
	uint64_t lost_at, patience; /* when a side went away; and until when the other may be
				       silent, CLOCK_MONOTONIC ns; 0 */
	/* the plan: mover_plan(), which fills in each side's, too */
	const struct mover *mover; /* NULL: not planned yet */
	bool exchanges;		   /* there are messages at an end, or frames are reframed */
	bool roams;		   /* the target's socket is not connected: roam.h */
	bool keeps, begun; /* the first message may have to go to another member of the pool:
			      first_message.h; it has been looked at */
	bool proven;	   /* the target has answered since it was connected, or last failed */
	uint64_t unheard;  /* ... or else, when messages were first sent to it, CLOCK_MONOTONIC ns;
			      0:  none were */
	uint32_t
		moves_left; /* members of the pool that may be tried before the client sends more */
	uint64_t look;	    /* interface.h: time of the next check, CLOCK_MONOTONIC ns */
	bool useless;	    /* a socket of it is, says its family: it ends, and another begins */
	bool late;	    /* its format reported that nothing was missing */
	uint64_t wake;	    /* when its format is to be called, CLOCK_MONOTONIC ns; 0: never */
	struct permanent_front *permanent; /* NULL: opened by a client */
	/* chain.h */
	uint64_t front_key;    /* under which the client was looked up without result, */
	uint32_t front_looked; /* ... and when */
	bool leads_back; /* the target is a listener that a datagram of this session has been to */
	_Atomic uint32_t looped; /* the serial of the session that is to end for it; 0: none */
	uint32_t share;		 /* share.h: record of the route whose place it has, + 1; 0: none */
	/* peers.h: of a session that a listener feeds */
	uint32_t peer_hash, peer_next;
	bool peer_known;
	uint32_t idle_before, idle_after; /* idle.h: slots + 1 */
	uint64_t idle_at;		  /* its position there; 0: not in the list */
	uint8_t peer_len; /* of the client's address, for the log, because the kernel may forget it;
			     0: longer */
	uint8_t peer[30];
};

/* Registered once, for both directions of a socket, edge-triggered. */
#define SESSION_EVENTS ((uint32_t)(EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET))
#define SESSION_TARGET_BIT (1u << 31)
#define SESSION_RIVAL_SHIFT 28 /* KIND_RIVAL: its number stands above the slot */

struct session *session_at(const struct thread *thread, uint32_t slot);
uint32_t session_slot(const struct session *session);
static inline struct ledger_session *session_record(const struct session *session)
{
	return session->record;
}

static inline struct ledger_flow *session_flow(const struct session *session)
{
	return session->flow;
}

/* A side's configuration, and its kind of socket. */
const struct config_endpoint *session_endpoint(const struct session *session, unsigned side);
const struct config_leg *session_leg(const struct session *session, unsigned side);
const struct spliced_row *session_row(const struct session *session, unsigned side);

/* The side that is being connected, or was: the target's, or first the front of a dialed session;
 * its destination in the configuration, and its place among the targets of the ledger. */
unsigned session_connecting_side(const struct session *session);
struct ledger_target *session_target(const struct session *session);
unsigned session_target_slot(const struct session *session);

/* A side's socket: its own, or the listener's that feeds it. -1: none yet. */
int session_fd(const struct session *session, unsigned side);

/* Serves the session at that time, if there is no event before. */
void session_look_again(struct session *session, uint64_t at);

/* ... in a moment: the kernel lacked a resource, and reports no event when it is available
 * again. */
void session_retry(struct session *session);

/* EAGAIN: that side cannot be read, or written to, before the next event. If none comes, it is
 * checked again. */
enum session_belief { BELIEF_READ = 1, BELIEF_WRITE = 2, BELIEF_SIDE_BITS = 2 };
void session_believe_unreadable(struct session *session, unsigned side);
void session_believe_unwritable(struct session *session, unsigned side);

/* Whether the peer of that side is gone and can receive nothing more; data it sent before may still
 * be unread. */
static inline bool session_is_gone(const struct session *session, unsigned side)
{
	return session->side[side].lost || session->record->direction[side].flags & DIRECTION_RESET;
}

/* Whether messages from this side stay in the kernel while the sink accepts none. */
bool session_blocks(const struct session *session, unsigned side);

/* A datagram listener's socket is watched by the listener, for all its peers. */
bool session_is_handed_in(const struct session *session);

/* The client's address: from the socket, or, of a fed session, from the first message. It is stored
 * for the log. */
void session_learn_peer(struct session *session, struct address *peer);
void session_remember_peer(struct session *session, const struct address *peer);

/* Registers a side's socket; if there is no room for it now, this is tried again later. 0 or
 * negative errno. */
int session_watch(struct session *session, unsigned side);

struct ledger_counter *session_counter(const struct session *session);

/* Initializes the session of a slot that the thread has claimed or adopts. */
void session_attach(struct session *session, struct thread *thread);

/* The only function that changes the state; asserts that the diagram above has the transition. */
void session_set_state(struct session *session, enum ledger_session_state state);

/* Notes an event of the loop; notes that anything may have happened. */
void session_note_events(struct session *session, unsigned side, uint32_t events);
void session_expect_everything(struct session *session);

/* Checks whether what is believed still holds. */
void session_ask_again(struct session *session);

/* Removes a side's socket, if there is one, from the record and closes it. */
void session_close(struct session *session, unsigned side);

/* Sets what release 0.2 set differently: it marked sockets to be reset (SO_LINGER), also those of
 * rows without SPLICED_RESET, and did not handle urgent data. */
void session_renew_socket(const struct session *session, unsigned side);

/* Puts it on the ready list of its thread: its turn ended before its work. */
void session_queue(struct session *session);

const char *session_end_name(enum session_end why);
