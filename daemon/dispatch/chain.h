/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chains: sessions of this daemon whose targets are listeners of this daemon. A client's session is
 * a chain's root; where the target of a session turns out to be the front of another, that one is
 * its child. A chain that comes to a route a second time is a loop, and goes no further:
 *
 *     client -> a -> b -> elsewhere     legal, however long
 *     client -> a -> b -> a             the second a is refused, and the first session ends with an
 *                                       error
 *
 * A chain may be long, and its sessions may end in any order. So a session knows of those before it
 * only the root's route, and that of one mark, which is updated at each power of two of the depth
 * (Brent's way to find a cycle): a loop that begins at the root is seen when it closes, any other
 * before the chain is three times as long.
 *
 * To identify the other end of a connection, the peer's address from accept(2) is looked up among
 * the sockets of our own, and, since an address can belong to two connections at once, what it is
 * connected to is compared with where ours went: SO_ORIGINAL_DST has it if the address was
 * translated. A UNIX socket takes a name of its own for that, where it goes to a listener of ours.
 * An address of a datagram socket is its own alone. A message that came from a group and is sent to
 * a group is an echo where a listener of a group receives it, not a loop: otherwise routes both
 * ways between two networks would be one. A local port is known only after connect(2), and another
 * thread may have accepted meanwhile without finding the socket: this is corrected when the next
 * session of the chain comes, since the accepting and the connecting thread both recorded the time.
 * Chains through another network namespace or another process are not detected.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct address;
struct config_leg;
struct session;
struct thread;
struct worker;

/* The origin of a new front. */
struct chain {
	uint64_t key;		/* under which it was looked up, */
	uint32_t looked;	/* ... and when */
	bool is_child, is_loop; /* neither: not one of our sockets, */
	bool is_echo; /* or a message from a group that we sent to a group ourselves: meant for
		       * others only */
	uint32_t root, mark, depth; /* of the child; root and mark: slots of routes */
	uint32_t route;		    /* slot of the route that it comes from */
	uint32_t slot, serial;	    /* ... and its session there */
};

/* Makes the worker's table. -ENOMEM. */
int chains_init(struct worker *worker);

/* connect(2) of the side that the session is connecting; the socket is known from then on. As
 * connect(2), and -ECONNREFUSED if it was connected to itself: nothing listens there. */
int chain_connect(struct session *session, int fd, const struct address *address);

/* An heir finds the session with this socket. */
void chain_adopt(struct session *session, unsigned side);

/* The side's socket will be closed. */
void chain_forget(struct session *session, unsigned side);

/* Whether a front of this listener comes from a session of ours, by its peer's address. fd: the
 * accepted socket; -1 for a datagram's sender. */
void chain_find(const struct thread *thread, uint32_t listener, const struct config_leg *leg,
		int fd, const struct address *peer, uint32_t route_slot, struct chain *ret);

/* Writes it down in the record of the new session. */
void chain_join(struct session *session, const struct chain *chain);

/* The loop is logged, from time to time. */
void chain_report(const struct thread *thread, uint32_t route_slot, const struct chain *chain);

/* The front will be closed: the sessions that led there are to end with an error, and not as if
 * the target had sent EOF. */
void chain_end(const struct thread *thread, const struct chain *chain);

/* Whether the session is to end for that. */
bool chain_is_ended(const struct session *session);
