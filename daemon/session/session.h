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
 *             |   | both FINs passed on                                 |
 *             |   |   (a datagram target that went away: CONNECTING)    |
 *            ENDING ----------------------------------------------------+
 *
 * What must outlive the worker stands in the record (ledger.h); struct session is what an heir can
 * find out anew.
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
	END_DONE = 1, /* both sides said FIN */
	END_DENIED,   /* by allow or deny: an orphan that nobody had looked at */
	END_CLIENT_RESET,
	END_TARGET_RESET,
	END_UNREACHABLE, /* no target answered */
	END_CONNECT_TIMEOUT,
	END_IDLE,
	END_KILLED,
	END_POISON,	 /* in hand at two deaths of the worker's own making */
	END_AUDIT,	 /* bytes missing after a crash */
	END_STOP,	 /* the daemon stops */
	END_ERROR,	 /* the kernel refused something */
	END_AGED,	 /* a datagram session that was idle */
	END_FRAMING,	 /* the bytes are no frame, or a longer one than max_frame */
	END_RELOAD,	 /* its route, or its listener, was taken away or changed */
	END_LOOP,	 /* its target leads back to its own route */
	END_EVICTED,	 /* a datagram session that gave way to a newer peer */
	END_TARGET_DOWN, /* on_down: its target went down */
};

/* One of a session's two sockets, and what is read of it. */
struct side {
	bool readable, writable; /* may be; false once the kernel said EAGAIN */
	bool hangup;		 /* a FIN or an end was announced: read until it is seen */
	bool failed;		 /* EPOLLERR: an error waits to be taken */
	bool gone;		 /* EPOLLHUP: nobody is there any more */
	bool lost; /* it was reset, and behind what is still to be read of it the kernel will say so
		    */
	bool urgent;		/* an urgent byte may be next (EPOLLPRI) */
	bool unwatched;		/* it waits for a place in the epoll set */
	uint64_t own_key;	/* chain.h: under which the socket is known as ours; 0: it is not */
	_Atomic uint32_t watch; /* under which serial the loop tells of its socket; 0: it is closed,
				   or was never watched */
	/* the plan: mover_plan() */
	bool receive_only; /* it takes nothing */
	uint8_t overflow;  /* enum config_overflow, of messages from it; never AUTO */
	enum spliced_framing
		framing; /* of a stream that carries messages; UNSET: a message socket */
	uint32_t max_frame;
	const struct spliced_format *format; /* of messages from it */
	/* messages that are read of it */
	struct spliced_ring *ring; /* they are read from it; NULL: by recvmsg(2) */
	bool unpeekable;	   /* this kernel cannot show them without taking them away */
	bool peeked;		   /* it has shown one */
	uint8_t unshown;	   /* ... and has not, so often in a row */
	bool taken;		   /* the message in hand is out of the queue already */
	uint32_t owed;	/* of what is on its way already, messages or bytes that are still to be
			   taken out of the queue */
	uint64_t stuck; /* drop-old: exchange_gives_up() */
	/* frames that are read of it: stage.h */
	bool unpeeked;	 /* MSG_PEEK does not show all that is there: the stage is used */
	bool stage_news; /* the stage may hold a whole frame, */
	bool stage_end;	 /* and the source has said its last */
	uint32_t staged, stage_size; /* bytes in it, and its size */
};

/* One way through a session, from its source to its sink. What outlives the worker is in struct
 * ledger_direction. */
struct direction {
	uint32_t fill;	    /* bytes in the pipe */
	uint32_t pipe_size; /* bytes, while one is lent */
	uint32_t proof;	    /* lease.h: bytes that are to pass before it gets a large pipe again */
	bool leased;	    /* ... the large pipe it has is watched */
	uint8_t polls;	    /* how often a sink that cannot tell has taken nothing, in a row */
};

/* CONNECTING: a round through the pool (dispatch/pool.h). */
enum { SESSION_ROUND_TRIED = 8 };

struct session_round {
	uint64_t seed; /* of a walk through the rest of the pool, ... */
	uint32_t walk; /* ... and how far it is */
	uint32_t left; /* members that are to be tried before the next pause; 0: a round
			  begins */
	uint16_t tried[SESSION_ROUND_TRIED]; /* the first that were */
	uint8_t n_tried;
	bool down;   /* all were known to be down when it began, and are tried nevertheless */
	bool leaves; /* those tried are members that it has left */
	bool claims; /* the member in hand is down, and nobody else asks it now */
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
	uint32_t counted; /* pool.h: record of the target whose session it is, + 1; 0: of none */
	struct {
		uint16_t target, error; /* errno */
	} tried[SESSION_TRIED_MAX];	/* members that did not answer, for the log; those that this
					   worker tried last */
	uint8_t n_tried;
	int connect_error;   /* why it was given up, negative errno */
	uint8_t reached_len; /* of the address that a target's name had when it answered, for the
				log; 0: not known */
	uint8_t reached[28];
	uint8_t asked; /* ... and so often a full backlog was */
	bool queued;   /* on the thread's ready list */
	bool moved; /* in this turn something moved, or was learnt: what may be served again at once
		     */
	uint8_t vain;	  /* turns in a row that the ready list gave it for nothing */
	bool starved;	  /* waits for what the kernel lacks: a pipe, memory */
	uint8_t believed; /* enum session_belief: EAGAIN, and nothing else has been heard since */
	uint64_t doubt;	  /* when to ask whether that still holds, CLOCK_MONOTONIC ns; 0: never */
	uint64_t lost_at, patience; /* a side is gone: since then; and the other may be silent until
				       then, CLOCK_MONOTONIC ns; 0 */
	/* the plan: mover_plan(), which fills in each side's, too */
	const struct mover *mover; /* NULL: not planned yet */
	bool exchanges;		   /* there are messages at an end, or frames are framed anew */
	bool roams;		   /* the target's socket is not connected: roam.h */
	bool keeps, begun; /* the first message may have to go to another member of the pool:
			      first_message.h; it has been looked at */
	bool proven;	  /* the target has said something since it was connected, or last failed */
	uint64_t unheard; /* ... or else, since when messages are sent to it, CLOCK_MONOTONIC ns; 0:
			     none were */
	uint32_t moves_left; /* members of the pool that may be gone on to before the client says
				more */
	uint64_t look;	     /* interface.h: when to look next, CLOCK_MONOTONIC ns */
	bool useless;	     /* a socket of it is, says its family: it ends, and another begins */
	bool late;	     /* its format says that nothing was missing */
	uint64_t wake;	     /* when a format wants to be called, CLOCK_MONOTONIC ns; 0: never */
	struct permanent_front *permanent; /* NULL: somebody asked for it */
	/* chain.h */
	uint64_t front_key;    /* under which the client was looked up in vain, */
	uint32_t front_looked; /* ... and when */
	bool leads_back; /* the target is a listener that a datagram of this session has been to */
	_Atomic uint32_t looped; /* the serial of the session that is to end for it; 0: none */
	uint32_t share;		 /* share.h: record of the route whose place it has, + 1; 0: none */
	/* peers.h: of a session that a listener feeds */
	uint32_t peer_hash, peer_next;
	bool peer_known;
	uint32_t idle_before, idle_after; /* idle.h: slots + 1 */
	uint64_t idle_at;		  /* where it stands there; 0: nowhere */
	uint8_t peer_len; /* of the client's address, for the log: the kernel forgets it before we
			     do; 0: longer */
	uint8_t peer[30];
};

/* Registered once, for both directions of a socket, edge-triggered. */
#define SESSION_EVENTS ((uint32_t)(EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET))
#define SESSION_TARGET_BIT (1u << 31)

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

/* What the config says of a side, and what kind of socket it is. */
const struct config_endpoint *session_endpoint(const struct session *session, unsigned side);
const struct config_leg *session_leg(const struct session *session, unsigned side);
const struct spliced_row *session_row(const struct session *session, unsigned side);

/* Which side is being connected, or was: the target's, or first the front of a session that is
 * dialed; what is known of whom it is connected to, and its place among the targets of the
 * ledger. */
unsigned session_connecting_side(const struct session *session);
struct ledger_target *session_target(const struct session *session);
unsigned session_target_slot(const struct session *session);

/* A side's socket: its own, or the listener's that feeds it. -1: none yet. */
int session_fd(const struct session *session, unsigned side);

/* Services the session at that time, if nothing happens before. */
void session_look_again(struct session *session, uint64_t at);

/* ... in a moment: the kernel lacked something, and tells nobody when it has it again. */
void session_retry(struct session *session);

/* The kernel said EAGAIN: that side cannot be read, or written to, until an event tells. Where none
 * comes, it is asked again. */
enum session_belief { BELIEF_READ = 1, BELIEF_WRITE = 2, BELIEF_SIDE_BITS = 2 };
void session_believe_unreadable(struct session *session, unsigned side);
void session_believe_unwritable(struct session *session, unsigned side);

/* Whether nobody is at that side any more who could take anything; what he had said before may
 * still be there. */
static inline bool session_is_gone(const struct session *session, unsigned side)
{
	return session->side[side].lost || session->record->direction[side].flags & DIRECTION_RESET;
}

/* Whether messages from this side stay with the kernel while the sink takes none. */
bool session_blocks(const struct session *session, unsigned side);

/* A datagram listener's socket is watched by the listener, for all its peers. */
bool session_is_handed_in(const struct session *session);

/* Whose session it is: what the socket says, or for a fed one, the first message said. It is
 * remembered for the log. */
void session_learn_peer(struct session *session, struct address *peer);
void session_remember_peer(struct session *session, const struct address *peer);

/* Registers a side's socket; where there is no room for it now, it is tried again later. 0 or
 * negative errno. */
int session_watch(struct session *session, unsigned side);

struct ledger_counter *session_counter(const struct session *session);

/* Makes a session anew in a slot that the thread has claimed or adopts. */
void session_attach(struct session *session, struct thread *thread);

/* Every change of state; it asserts that the move is one of the picture above. */
void session_set_state(struct session *session, enum ledger_session_state state);

/* An event of the loop is written down; anything may have happened. */
void session_note_events(struct session *session, unsigned side, uint32_t events);
void session_expect_everything(struct session *session);

/* Whether what is believed still holds. */
void session_ask_again(struct session *session);

/* Takes a side's socket, if there is one, out of the record and closes it. */
void session_close(struct session *session, unsigned side);

/* What is set on a socket otherwise than release 0.2 did: it marked sockets by an abort
 * (SO_LINGER), also those of rows without SPLICED_RESET, and knew nothing of urgent data. */
void session_renew_socket(const struct session *session, unsigned side);

/* Puts it on the ready list of its thread: it had more to do than its turn allowed. */
void session_queue(struct session *session);

const char *session_end_name(enum session_end why);
