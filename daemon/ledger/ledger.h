/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ledger: what is open, in shared memory (a memfd) that outlives every worker.
 *
 * A header names the sections; a section is a table of records of one size. Records grow at their
 * tails. The rules that keep a record true at every instruction, whichever process dies there:
 *
 *   - A record is committed by one aligned store of its state, after its descriptors are in it; a
 *     descriptor is taken out of its record before it is closed. So what a record names is open,
 *     and what no record names has no owner.
 *   - A fact is written before the action that makes it true, if the action may be repeated
 *     (shutdown(2)), and after it if the kernel itself records the action (splice(2): the pipe's
 *     own count).
 *   - Before a thread touches a record it announces it in its hand word.
 *   - Times are CLOCK_MONOTONIC ns. What getpeername(2) returns is not stored.
 *
 * Who writes what: the keeper everything while no worker runs, and its own section always; a thread
 * its own section, its own sessions and its own column of counters; everything else is atomic. A
 * process with corrupted memory writes anywhere: what another process has written is checked
 * (original.h, validate.h).
 */
#pragma once

#include "base/assert.h"
#include "base/counter.h"
#include "base/index.h"
#include "ledger/check.h"
#include "ledger/ledger_keeper.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum {
	LEDGER_VERSION = 4,
	LEDGER_THREADS_MAX = 129, /* 128 that carry traffic, and the clerk */
	/* More than one configuration has: while an earlier one is still in use, both have their
	 * records. */
	LEDGER_LISTENERS_MAX = 32768,
	LEDGER_ROUTES_MAX = 32768,
	LEDGER_TARGETS_MAX = 98304,
	LEDGER_CONTROLS_MAX = 64,
	LEDGER_ADDRESSES_MAX = 16,     /* of one target's name */
	LEDGER_GENERATIONS_MAX = 1024, /* that are in use */
	LEDGER_FAMILY_MAX = 32,
	LEDGER_TEXT_MAX = 64 * 1024,
	LEDGER_KEPT_MAX = 1024,	  /* first messages that have not been answered, */
	LEDGER_KEPT_BYTES = 2048, /* and the longest */
	LEDGER_ROUNDS_MAX = 21,	  /* of a session's: the pauses grow no longer */
};

enum ledger_section_id {
	LEDGER_KEEPER,
	LEDGER_THREADS,
	LEDGER_SESSIONS,
	LEDGER_LISTENERS,
	LEDGER_ROUTES,
	LEDGER_TARGETS,
	LEDGER_COUNTERS,
	LEDGER_CONTROLS,
	LEDGER_TEXT,
	LEDGER_FLOWS,
	LEDGER_GENERATIONS,
	LEDGER_KEPT,
	LEDGER_UNITS, /* unit.h */
	LEDGER_COOKIES,
	LEDGER_SECTIONS,
};

/* A section's version is raised, and the one before converted (convert.c), when the meaning of
 * its records changes. Records that only grow at their tails keep it. */
struct ledger_section {
	uint32_t id, version, stride, count;
	uint64_t offset; /* from the start of the memfd */
};

struct ledger_header {
	char magic[8]; /* "SPLICED\0" */
	uint32_t version, n_sections;
	uint64_t size;
	struct ledger_section sections[LEDGER_SECTIONS];
};

/* What a thread has in hand. HAND_ROUTE: only reads what belongs to the route, as the clerk
 * does. */
enum ledger_hand { HAND_EMPTY, HAND_SESSION, HAND_LISTENER, HAND_ROUTE };

/* How a thread ended the worker, beside a signal. BLAMED: all that follows from it is done. */
enum ledger_crash { CRASH_EXIT = 1000, CRASH_BLAMED };

/* Which count follows. UNTOUCHED: msg_len of a header that the kernel has not come to. */
enum ledger_batch { BATCH_NONE, BATCH_TAKEN, BATCH_SENT };
enum { LEDGER_BATCH_MAX = 64 };
#define BATCH_UNTOUCHED UINT32_MAX

struct ledger_thread {
	_Atomic uint64_t hand;	/* enum ledger_hand << 32 | index of the record */
	_Atomic uint64_t beats; /* one that does not change shows a hang: thread_beat() */
	_Atomic uint32_t
		crashed; /* a fatal signal struck this thread: its number, or enum ledger_crash */
	_Atomic uint32_t sessions;
	_Atomic uint32_t callback; /* net/callback.h: the family's callback that runs, 0: none */
	uint32_t reserved;
	_Atomic uint64_t closing; /* closing.h: the socket that it takes out of its record and
				     closes; 0: none */
	uint8_t pad[24];	  /* a cache line a thread */
	/* messages that one call takes or sends, session/tally.h; their headers, where the
	 * kernel marks each that is done, also if the process dies before the call returns */
	_Atomic uint32_t batch;				   /* enum ledger_batch */
	uint32_t batch_size, batch_route, batch_direction; /* the route's slot; of the newest */
	uint64_t batch_before;				   /* the count */
	uint8_t batch_pad[40];
	struct mmsghdr in[LEDGER_BATCH_MAX],
		out[LEDGER_BATCH_MAX]; /* pointers are valid only in its own process */
};

enum ledger_session_state {
	SESSION_FREE,
	SESSION_CLAIMED,    /* being filled; its descriptors are not its own yet */
	SESSION_CONNECTING, /* fd[0] is the client; fd[1] may be on its way to the target, or -1
			       between two attempts */
	SESSION_RELAYING,
	SESSION_ENDING,	  /* both directions have ended; descriptors are being closed */
	SESSION_ABORTING, /* the same, by RST where the family has one */
};

enum ledger_direction_flag {
	DIRECTION_EOF = 1,	 /* the source sent FIN */
	DIRECTION_FIN_SENT = 2,	 /* written before shutdown(2) of the sink */
	DIRECTION_RESET = 4,	 /* the source was reset */
	DIRECTION_FIN_FIRST = 8, /* ... after its FIN */
	/* move/urgent.h; the upper half has a count then */
	DIRECTION_URGENT = 16, /* an urgent byte goes into the pipe, and then out of the source */
	DIRECTION_URGENT_ODD = 32,    /* with it the pipe's length is odd */
	DIRECTION_URGENT_STAGED = 64, /* the pipe is the stage */
};

struct ledger_direction {
	int32_t pipe; /* one descriptor for both ends; -1 while nothing is in flight */
	uint32_t flags;
	uint64_t bytes; /* into the sink */
};

#define LEDGER_TICKET_MAX (UINT64_MAX / 2)

/* Descriptors, and everything else in pairs: [0] is the client, [1] the target; directions by their
 * source. */
struct ledger_session {
	_Atomic uint32_t state; /* enum ledger_session_state */
	uint32_t serial;
	/* its configuration, and its route there: one aligned word */
	_Alignas(8) uint32_t generation;
	uint32_t route;
	uint32_t target; /* among the route's */
	_Atomic uint32_t
		kill; /* it is to be ended, and why (enum session_end, session/session.h) */
	int32_t fd[2];
	struct ledger_direction direction[2];
	uint64_t opened, active; /* accepted; last moved anything */
	uint64_t deadline;	 /* CONNECTING: of this attempt, or the time of the next */
	int32_t stage[2];  /* pipes, by source, of bytes that are to become frames and cannot be
			      peeked at; -1: none */
	uint32_t endpoint; /* the listening one; DIALED: the dial */
	uint32_t listener; /* FED: index of the listener that its messages come from */
	uint32_t cursor;   /* CONNECTING: the member of the pool that is to be tried next, plus one,
			      modulo their number; 0: whichever is chosen */
	uint32_t attempts; /* CONNECTING: targets tried */
	uint16_t leg, connect_leg; /* of the listening endpoint, or the dial; of the target */
	uint16_t thread, deaths;
	uint16_t address; /* CONNECTING: of the target's addresses, how many were tried in this
			     attempt */
	uint8_t admitted; /* it has passed allow and deny */
	uint8_t front;	  /* enum ledger_front */
	uint8_t fronted;  /* DIALED: the front is connected */
	uint8_t rounds;	 /* CONNECTING: how often the whole pool was gone through; counted as far as
			    the pauses grow */
	uint8_t chained; /* its front is the target of another session: the flow's chain tells */
	uint8_t retargeted; /* CONNECTING: what waits in its pipe was framed for a target that it
			       has no more */
};

/* What a session's sockets are, same index: a number is no proof. Written before the number. */
struct ledger_cookies {
	uint64_t fd[2]; /* socket_cookie(); 0: not known, or a file */
};

/* Where a session's front comes from. */
enum ledger_front {
	FRONT_ACCEPTED, /* accept(2): fd[0] is its own */
	FRONT_FED,	/* a listener's socket that many share, or a feed's: fd[0] is -1 */
	FRONT_DIALED,	/* connect(2): fd[0] is its own once it is connected; `endpoint` is a dial's
			 */
};

enum ledger_flow_flag {
	FLOW_GREETED = 1,    /* the format's preamble was sent */
	FLOW_BROKEN = 2,     /* in hand when a worker died: the format is notified */
	FLOW_LOST = 8,	     /* the kernel dropped messages: the format is notified */
	FLOW_REPEAT = 16,    /* what was kept is to be sent to another member of the pool, before
				anything else */
	FLOW_SUPERSEDED = 4, /* of an older generation: replies are still forwarded, a message of
			      * its peer begins a new session */
};

enum {
	LEDGER_PEER_MAX = 112,
	LEDGER_REPLY_MAX = 48,
	LEDGER_FAR_MAX = 28,
	LEDGER_FORMAT_STATE_MAX = 64
};

/* Written before the action: an heir sees by the pipe, or by the count, whether it was done. */
enum ledger_held_step { HELD_RESTS, HELD_PUT, HELD_TAKEN, HELD_SENT };

/* What a session that moves messages needs beside its session record; same index. */
struct ledger_flow {
	_Atomic uint32_t flags; /* enum ledger_flow_flag */
	uint8_t peer_len;	/* FED: address that replies go to; 0: none */
	uint8_t reply_len;
	uint8_t reserved[2];
	_Atomic int32_t waits[2];     /* by side: errno of what the family's check() waits for, 0 */
	_Atomic uint64_t messages[2]; /* into the sink */
	uint8_t peer[LEDGER_PEER_MAX]; /* a sockaddr */
	_Alignas(8)
		uint8_t reply[LEDGER_REPLY_MAX]; /* control data, as the family's reply() made it */
	_Atomic uint32_t format_now; /* which of the two states below counts: the other one may be
					half written */
	uint32_t format_reserved;
	_Alignas(8) uint8_t format[2][LEDGER_FORMAT_STATE_MAX];
	/* of a chained session, dispatch/chain.h; routes are slots */
	uint32_t chain_root, chain_mark, chain_depth;
	uint32_t chain_slot, chain_serial; /* the session before it */
	uint32_t chain_reserved;
	uint32_t kept; /* session/first_message.h: place of its first message, plus one; 0: it has
			  none */
	uint32_t kept_reserved;
	_Atomic uint32_t held[2]; /* messages in the pipes, by source */
	uint8_t far_len; /* move/roam.h: where its target's socket, which is not connected, sends
			    to; 0: it is connected */
	uint8_t far_reserved[3];
	uint8_t far[LEDGER_FAR_MAX]; /* a sockaddr */
	/* what is being done with the messages in each pipe, session/tally.h */
	_Atomic uint32_t step[2]; /* enum ledger_held_step */
	uint32_t after[2];	  /* PUT, TAKEN: how many there are then, */
	uint32_t until[2]; /* ... and so many bytes; SENT: the count of messages, modulo 2^32 */
	/* CONNECTING, without a deadline: it waits for a place at a target of its pool, in the
	 * order of tickets (0: it does not wait), until then, CLOCK_MONOTONIC ns */
	uint64_t ticket, waits_until;
};

/* A session's first message, until it is answered. */
enum { KEPT_FREE, KEPT_BUSY };

struct ledger_kept {
	_Atomic uint64_t owner; /* slot + 1 << 32 | serial of a session; or KEPT_FREE, KEPT_BUSY */
	uint32_t len, reserved;
	uint8_t bytes[LEDGER_KEPT_BYTES];
};

enum ledger_listener_state {
	LISTENER_FREE,
	LISTENER_PENDING, /* opened for a generation that does not run yet */
	LISTENER_OPEN,
	LISTENER_LEAVING, /* accepted from until it is empty, then closed */
	LISTENER_WAITING, /* has no socket: family or device is not there, or its address
			   * another's; tried periodically */
};

/* Also what a route's `limit` says. */
enum ledger_pause {
	PAUSE_NONE,
	PAUSE_SESSIONS,
	PAUSE_LIMIT,
	PAUSE_DESCRIPTORS,
	PAUSE_MEMORY,
	PAUSE_ERROR,
	PAUSE_DEATHS,
	PAUSE_SHARE, /* the rest is left to other routes */
	PAUSE_PIPES, /* no listener's: a frame finds no pipe that is large enough */
	PAUSE_HELD,  /* by the operator */
	PAUSE_FULL,  /* no listener's: all targets have max_sessions */
};

struct ledger_listener {
	_Atomic uint32_t state; /* enum ledger_listener_state */
	uint32_t n_fds;		/* one, or one a thread */
	/* the generation that new sessions get, and its route there: one aligned word */
	_Alignas(8) uint32_t generation;
	uint32_t route;
	uint32_t endpoint;
	uint16_t leg, deaths;
	uint64_t digest, live_digest; /* config_leg_digest() */
	_Atomic uint32_t paused;      /* enum ledger_pause */
	uint32_t skip; /* the message at the head of its queue is not to be touched again */
	_Atomic uint64_t accepted;
	uint32_t leaving_since; /* s, CLOCK_MONOTONIC */
	_Atomic int32_t waits; /* WAITING, or PENDING to be so: errno of the last try; OPEN: of what
				  became of its place */
	int32_t fds[LEDGER_THREADS_MAX - 1];
	/* its SO_REUSEPORT group, and the place of each of its sockets in it: the keeper steers
	 * around those that leave, and closes them */
	uint64_t group;	 /* 0: in none */
	uint32_t placed; /* enum ledger_places */
	uint16_t places[LEDGER_THREADS_MAX - 1];
	_Atomic uint8_t
		let_go[LEDGER_THREADS_MAX - 1]; /* LEAVING: its thread is done with this socket */
	uint32_t shared;	  /* one socket for all threads, because descriptors are short */
	_Atomic uint32_t useless; /* its family reports that its socket is: another is to be
				   * opened in its place */
	uint64_t file_device,
		file_inode; /* of a UNIX socket: of its file as it was bound; 0: not noted */
	/* a socket that was passed to us: what the kernel had dropped there before */
	uint32_t drops_before, drops_known;
};

/* How far a route is stopped because the worker died with it in hand; each death adds a step. */
enum ledger_route_pause {
	ROUTE_RUNS,
	ROUTE_PAUSED, /* its listeners, feeds and dials are paused; the callback that was running
		       * is barred */
	ROUTE_BARRED, /* no callback of any family runs for it */
	ROUTE_CLOSED, /* and its sessions are ended */
};

/* Whether the places of a listener's sockets are known: only of those that this release has
 * opened. */
enum ledger_places { PLACES_NONE, PLACES_KNOWN, PLACES_LOST };

/* A route by name, whatever its generation: what is counted of it. */
struct ledger_route {
	_Atomic uint32_t used;
	_Atomic uint32_t active;    /* sessions; recomputed when adopted */
	_Atomic uint32_t turn;	    /* roundrobin */
	_Atomic uint32_t limit;	    /* enum ledger_pause: what it was refused at limit_at */
	uint64_t digest;	    /* ledger_digest() of the whole name: it identifies the route */
	char name[LEDGER_NAME_MAX]; /* for people */
	_Atomic uint32_t paused;    /* enum ledger_route_pause */
	uint32_t deaths; /* of the worker's own making, with the route in hand; forgotten after a
			    while, and by a reload */
	uint64_t died;	 /* CLOCK_MONOTONIC ns, the newest of them */
	_Atomic uint64_t deaths_total;
	/* what ran at the newest of them: net/callback.h; 0: none */
	uint32_t callback;
	uint32_t hung; /* it did not return */
	char family[LEDGER_FAMILY_MAX];
	_Atomic uint64_t limit_at;   /* CLOCK_MONOTONIC ns, 0: never */
	_Atomic uint32_t pool_epoch; /* raised by each change of which of its targets may be
				      * chosen, or how often: dispatch/pool_view.h */
	_Atomic uint32_t hand;	     /* enum ledger_hand_flag */
	_Atomic uint32_t retry_turn; /* as `turn`, of sessions whose attempt at a target failed */
};

struct ledger_address {
	uint8_t leg, len;
	uint8_t bytes[30]; /* a sockaddr_in or sockaddr_in6 */
};

/* A target by ROUTE/NAME: health, and what its name resolved to last. */
struct ledger_target {
	_Atomic uint32_t used;
	_Atomic uint32_t failures;   /* in a row */
	_Atomic uint64_t down_until; /* it is skipped until then, CLOCK_MONOTONIC ns */
	_Atomic uint32_t turn;	     /* among the addresses */
	_Atomic uint32_t sequence;   /* odd while addresses are written */
	uint32_t n_addresses;
	_Atomic uint32_t error; /* errno of the newest failure; 0: not known */
	struct ledger_address addresses[LEDGER_ADDRESSES_MAX];
	uint64_t digest; /* ledger_digest() of the whole name: it identifies the target */
	char name[LEDGER_NAME_MAX];   /* for people */
	_Atomic uint64_t down_since;  /* marked down by its failures, until something succeeds:
				       * CLOCK_MONOTONIC ns; 0: not down */
	_Atomic uint64_t downs;	      /* how often this happened */
	_Atomic uint64_t failed_at;   /* the newest failure, CLOCK_MONOTONIC ns; 0: none */
	_Atomic uint64_t asked_until; /* while it is down one session tries it; no other does
				       * before, CLOCK_MONOTONIC ns */
	_Atomic uint32_t active;      /* sessions that are connected to it, or being connected;
					 recomputed when adopted */
	_Atomic uint32_t weight_set;  /* by the operator, plus one; 0: as configured */
	_Atomic uint64_t up_since;    /* it was down before, CLOCK_MONOTONIC ns; 0: it never was */
	_Atomic uint32_t hand;	      /* enum ledger_hand_flag */
	_Atomic uint32_t route;	      /* record of the route whose pool it is in, plus one; 0: not
					 known */
	struct ledger_check check;
	uint64_t origin; /* hash of the endpoint whose name its addresses are of; 0: not known */
	_Atomic uint32_t listed;  /* of a place of a name: its address is in the newest good answer,
				     dispatch/places.h */
	_Atomic uint32_t service; /* ... of an SRV record: its priority and weight, any of which is
				     valid: dispatch/service.h */
	_Atomic uint32_t
		refused; /* ... the newest good answer is that the service is not offered */
	uint32_t refused_reserved;
};

/* What an operator has set by hand, for a route or a target; it is valid until undone. */
enum ledger_hand_flag {
	LEDGER_HAND_DRAIN = 1,	 /* no new sessions */
	LEDGER_HAND_DISABLE = 2, /* a target's, with it: nor old ones */
	LEDGER_HAND_HOLD = 4,	 /* a route's: new ones wait in the kernel's queues */
};

enum {
	LEDGER_WEIGHT_MAX = 65535,	 /* that an operator may set */
	LEDGER_WAIT_SECONDS_MAX = 86400, /* for a target to be up, or down */
};

/* Places for reasons that later releases may add: an array in the middle of a record cannot
 * grow. */
enum { LEDGER_REFUSALS = 24, LEDGER_DROPS = 40 };

_Static_assert((int)REFUSED_REASONS <= (int)LEDGER_REFUSALS &&
		       (int)DROPPED_REASONS <= (int)LEDGER_DROPS,
	       "a column for each reason");

/* One thread's counts of one route. */
struct ledger_counter {
	_Atomic uint64_t sessions, ended, aborted;
	_Atomic uint64_t bytes[2];
	_Atomic uint64_t connect_errors, idle_timeouts, killed;
	_Atomic uint64_t refused[LEDGER_REFUSALS];
	_Atomic uint64_t messages[2];
	_Atomic uint64_t dropped[LEDGER_DROPS];
	_Atomic uint64_t lost;	      /* times that a feed's socket returned ENOBUFS */
	_Atomic uint64_t descriptors; /* messages whose SCM_RIGHTS were dropped */
	_Atomic uint64_t evicted;     /* datagram sessions that were evicted for a newer peer's */
	_Atomic uint64_t unkept;      /* first messages that were not kept */
	/* the flow's tally */
	_Atomic uint64_t received[2], returned[2]; /* messages: by source; of those into the sink */
	_Atomic uint64_t waiting;		   /* ... in pipes now; recomputed when adopted */
	_Atomic uint64_t
		kernel; /* ... that the kernel had dropped at sockets that are closed now */
	_Atomic uint64_t target_down; /* sessions that ended because their target went down */
};

enum ledger_control_state {
	CONTROL_FREE,
	CONTROL_READING,
	CONTROL_ANSWERING, /* the request is consumed, and the answer in a worker's memory: an heir
			      can only close */
	CONTROL_RELOADING,
	CONTROL_WAITING, /* until a target is up, or down */
};

/* A connection of splicectl. */
struct ledger_control {
	_Atomic uint32_t state;
	int32_t fd;
	uint64_t asked; /* RELOADING: answered when reload_answered reaches it */
	/* WAITING: for the target with this digest (ledger_target), until then, CLOCK_MONOTONIC
	 * ns */
	uint64_t target, until;
	uint32_t for_down; /* it is to be down; else up */
	uint32_t reserved;
};

/* A configuration that is in use. */
struct ledger_generation {
	uint32_t number; /* 0: free */
	int32_t fd;	 /* its memfd */
};

/* Where the slots of names are: a process's own knowledge (slots.c). */
struct ledger_slots {
	struct index routes, targets; /* by digest */
	uint32_t free_route, free_target;
	bool known;
};

struct ledger_unit;
struct original;

/* A process's view of the ledger. What a process must be sure of it keeps here, too: a worker
 * with corrupted memory may have written to what is shared. */
struct by_hand_file;

struct ledger {
	int fd;
	int table_fd; /* the directory of descriptors, in the keeper and its workers; -1: none */
	int keeper_wake, clerk_wake, control_fd; /* as in the keeper's section */
	pid_t keeper_pid;
	struct original *original; /* original.h; NULL: everything is trusted, or they are the
				    * keeper's, and this is a child of it */
	bool kept;		   /* the keeper has restored its own words: they are valid */
	struct ledger_header *header;
	struct ledger_keeper *keeper;
	struct ledger_thread *threads;
	struct ledger_session *sessions;
	struct ledger_listener *listeners;
	struct ledger_route *routes;
	struct ledger_target *targets;
	struct ledger_counter *counters; /* [thread][route] */
	struct ledger_control *controls;
	struct ledger_flow *flows; /* by session */
	struct ledger_cookies *cookies;
	struct ledger_generation *generations;
	struct ledger_kept *firsts; /* [LEDGER_KEPT_MAX] */
	struct ledger_unit *units;  /* [LEDGER_UNITS_MAX] */
	char *text;		    /* the report of the last reload, NUL-terminated */
	uint32_t n_threads, n_sessions;
	struct ledger_slots slots;
	struct by_hand_file *by_hand; /* by_hand.h; NULL: none is kept */
	int by_hand_fd;
};

/* Makes an empty ledger for so many threads (the clerk's is added) and sessions. 0 or negative
 * errno. */
int ledger_init(struct ledger *ledger, uint32_t threads, uint32_t sessions);
void ledger_done(struct ledger *ledger);

/* Writes the header of an empty ledger for so many threads (the clerk's is added) and sessions;
 * header->size: bytes of the whole. */
void ledger_lay_out(struct ledger_header *header, uint32_t threads, uint32_t sessions);

/* Points the view at the sections that the header describes. */
void ledger_find_sections(struct ledger *ledger);

/* Opens a ledger that another process made, whose memfd it owns from now on. One of another
 * layout (the release before, or records that have grown since) is read into private memory in
 * today's layout: later writes do not reach the memfd. -EPROTO: it is none, or its layout is not
 * known here; -ENOMEM. On error the memfd is still the caller's. */
int ledger_open(struct ledger *ledger, int fd);

/* Takes over the contents of another ledger, of more or fewer threads or sessions. No worker
 * runs. -ENOSPC: there are more records than this one has places for. */
int ledger_inherit(struct ledger *ledger, const struct ledger *old);

/* Records a generation, unless an earlier keeper has, or forgets it. -ENOSPC. */
int ledger_note_generation(struct ledger *ledger, uint32_t number, int fd);
void ledger_forget_generation(struct ledger *ledger, uint32_t number);

/* Opens the directory of this process' descriptors, and of all that share them, for a later
 * sweep; it is the keeper's own. */
void ledger_open_table(struct ledger *ledger);

/* Records a descriptor as the keeper's own, or forgets it. -ENOSPC. */
int ledger_keep_fd(struct ledger *ledger, int fd);
void ledger_forget_fd(struct ledger *ledger, int fd);

/* What identifies a route or a target: its whole name, however long. Never 0. */
uint64_t ledger_digest(const char *name);

/* The record with this name, made where there is none; -ENOSPC when the table is full, or
 * -ENOMEM. */
int ledger_route_slot(struct ledger *ledger, const char *name);
int ledger_target_slot(struct ledger *ledger, const char *name);

/* The same, but none is made: -ENOENT. */
int ledger_find_route(struct ledger *ledger, const char *name);
int ledger_find_target(struct ledger *ledger, const char *name);

/* Other processes have written to the tables: the index of slots is rebuilt. */
void ledger_forget_slots(struct ledger *ledger);

/* Gives back the slots whose flag in `keep` (indexed by slot) is not set. */
void ledger_routes_retain(struct ledger *ledger, const bool *keep);
void ledger_targets_retain(struct ledger *ledger, const bool *keep);

/* How far a table was ever used. The marks are shared: a wrong one never leads past the table. */
static inline uint32_t ledger_sessions_high(const struct ledger *ledger)
{
	uint32_t high = ledger->keeper->sessions_high;

	return high < ledger->n_sessions ? high : ledger->n_sessions;
}

static inline uint32_t ledger_listeners_high(const struct ledger *ledger)
{
	uint32_t high = ledger->keeper->listeners_high;

	return high < LEDGER_LISTENERS_MAX ? high : LEDGER_LISTENERS_MAX;
}

static inline uint32_t ledger_routes_high(const struct ledger *ledger)
{
	uint32_t high = ledger->keeper->routes_high;

	return high < LEDGER_ROUTES_MAX ? high : LEDGER_ROUTES_MAX;
}

static inline uint32_t ledger_targets_high(const struct ledger *ledger)
{
	uint32_t high = ledger->keeper->targets_high;

	return high < LEDGER_TARGETS_MAX ? high : LEDGER_TARGETS_MAX;
}

/* How many sockets a listener's record has places for. */
static inline uint32_t ledger_sockets(const struct ledger_listener *record)
{
	return record->n_fds < LEDGER_THREADS_MAX - 1 ? record->n_fds : LEDGER_THREADS_MAX - 1;
}

static inline struct ledger_counter *ledger_counter(const struct ledger *ledger, uint32_t thread,
						    uint32_t route)
{
	assert_costly(thread <= ledger->n_threads && route < LEDGER_ROUTES_MAX);
	return &ledger->counters[(size_t)thread * LEDGER_ROUTES_MAX + route];
}

/* Adds to a count that has one writer: cheaper than an atomic addition, and as consistent for
 * readers. */
static inline void ledger_count(_Atomic uint64_t *count, uint64_t more)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + more,
			      memory_order_relaxed);
}

/* The same for what an heir adopts before it has threads. */
static inline void ledger_hold_adopted(struct ledger *ledger, enum ledger_hand hand, uint32_t index)
{
	atomic_store_explicit(&ledger->keeper->adoption.hand, (uint64_t)hand << 32 | index,
			      memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void ledger_hold(struct ledger_thread *thread, enum ledger_hand hand, uint32_t index)
{
	atomic_store_explicit(&thread->hand, (uint64_t)hand << 32 | index, memory_order_release);
	/* The order of the store matters only if this process dies. */
	atomic_signal_fence(memory_order_seq_cst);
}
