/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets of any family, as the data path needs them: opened from an endpoint's description, asked
 * how they fare, and ended. All are non-blocking and close-on-exec. Nothing here logs.
 */
#pragma once

#include "net/address.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct family;
struct spliced_options;
struct spliced_row;

/* Options of every family, applied before bind(2) or connect(2); 0 means: leave it alone. */
struct socket_options {
	int64_t sndbuf, rcvbuf; /* bytes */
	int64_t mark, priority; /* -1: unset */
	const char *netns;	/* netns.h; NULL: the daemon's own */
	const char *passed; /* to listen: name of a socket that was passed, passed.h; NULL: one is
			       made */
};

/* Where opening failed, for the operator. */
struct socket_failure {
	const char *call; /* "bind", ... */
};

/* A socket that is going to listen: socket, prepare, bind (with the family's reclaim), bound.
 * Nobody reaches it before socket_listen(): it can be closed without harm to anyone. (UDP: whether
 * it can be bound is found out by another one.) reuse_port shares the address with other sockets of
 * this daemon. A socket that was passed is taken as it is: it listens already. Returns the
 * descriptor, or negative errno with *failure set. */
int socket_bind(const struct family *family, const struct spliced_options *options,
		const struct address *address, const struct socket_options *common, bool reuse_port,
		struct socket_failure *failure);

/* Opens it to clients: listen(2), where the row has connections; bind(2), where that comes late,
 * and the family's bound() is still to be called. Runs no code of the family's. 0, or negative
 * errno with *failure set: somebody else was quicker. */
int socket_listen(int fd, const struct spliced_row *row, const struct address *address, int backlog,
		  struct socket_failure *failure);

/* UDP: bound, a socket gets its share of what comes, though nobody may ever read it. */
bool socket_is_bound_late(const struct spliced_row *row);

/* Whether a listening socket of this kind is not accepted from: datagrams, and feeds. */
bool socket_has_no_connections(const struct spliced_row *row);

/* Whether the address could be bound by one socket alone: 0, or -EADDRINUSE and its like. Finds the
 * other daemon that a SO_REUSEPORT group of the same user would silently share with. */
int socket_probe(const struct family *family, const struct spliced_options *options,
		 const struct address *address, const struct socket_options *common);

/* The size that a socket's buffer was given, in bytes as they are asked for (the kernel doubles it
 * and tells that); 0: it cannot be told. */
enum socket_buffer { SOCKET_RECEIVES, SOCKET_SENDS };
int64_t socket_granted(int fd, enum socket_buffer buffer);

/* How much of those buffers (sndbuf, rcvbuf) the kernel would grant this process: puts into *common
 * what it would. 0 or negative errno. */
int socket_try_buffers(struct socket_options *common);

/* A socket ready to be connected: socket, options, prepare. Returns the descriptor or negative
 * errno. */
int socket_open(const struct family *family, const struct spliced_options *options,
		const struct socket_options *common);

/* Sets what every family takes on a socket that is open already; what is unset goes back to what it
 * was. What a listening socket has got is for those that it will accept. 0 or negative errno. */
int socket_change(int fd, const struct spliced_row *row, const struct socket_options *common);

/* Once more what a family may have changed meanwhile by options of its own: the priority. 0 or
 * negative errno. */
int socket_set_priority(int fd, const struct socket_options *common);

/* What a listening socket does not pass on to those that it accepts: the priority, and of UNIX
 * sockets all. What cannot be set is left. */
void socket_set_accepted(int fd, const struct spliced_row *row,
			 const struct socket_options *common);

/* Sets those that are set in *common, as far as this process may; NULL: none. 0 or negative errno.
 */
int socket_apply(int fd, const struct socket_options *common);

/* setsockopt(2) and, of SOL_SOCKET, getsockopt(2) of an option that is an int. 0 or negative errno;
 * the value, or -1. */
int socket_set_int(int fd, int level, int option, int64_t value);
int socket_get_int(int fd, int option);

/* connect(2). 0: connected; -EINPROGRESS: under way; other negative errno: not. */
int socket_connect(int fd, const struct address *address);

/* Takes the pending error, SO_ERROR: 0 or negative errno. */
int socket_take_error(int fd);

/* What an error of splice(2) means at a file: one that was hung up has no splice(2) any more, which
 * says EINVAL where read(2) and write(2) say EIO. */
int socket_file_error(int fd, int error);

/* Whether connect(2) has succeeded: getpeername(2) answers. */
bool socket_is_connected(int fd);

/* What poll(2) says of a socket now: of the events asked for, and POLLERR and POLLHUP. */
short socket_poll(int fd, short events);

/* The kernel's numbers, which are part of its ABI, for the states that are asked for here. */
enum socket_tcp_state {
	SOCKET_TCP_ESTABLISHED = 1,
	SOCKET_TCP_SYN_SENT = 2,
	SOCKET_TCP_SYN_RECV = 3,
	SOCKET_TCP_CLOSE = 7,
	SOCKET_TCP_TIME_WAIT = 6,
	SOCKET_TCP_CLOSE_WAIT = 8,
	SOCKET_TCP_LAST_ACK = 9,
	SOCKET_TCP_CLOSING = 11,
};

/* TCP_INFO's state, or -1 where there is none. */
int socket_tcp_state(int fd);

/* Bytes not yet acknowledged by the peer (SIOCOUTQ), 0 where the family cannot tell. */
int socket_unsent(int fd);

/* Bytes that wait to be read (SIOCINQ), 0 where the family cannot tell. */
int socket_unread(int fd);

/* Makes close(2) an abort: the peer sees a reset (SO_LINGER with 0 s). For sockets of rows that
 * have one. */
void socket_set_abort(int fd);
void socket_clear_abort(int fd);

/* Binds a socket of inet or inet6 that is not bound yet to the host of that address, at a port that
 * the kernel chooses. 0 or negative errno. */
int socket_bind_host(int fd, const struct address *address);

/* A datagram socket of inet or inet6 is told of errors also where it is not connected (IP_RECVERR);
 * what is told must be taken away. */
void socket_want_errors(int fd);
void socket_forget_errors(int fd);

/* SO_COOKIE: a number that no other socket of this system ever gets; 0: the kernel knows none. */
uint64_t socket_cookie(int fd);

/* Whether an accepted TCP socket is as accept(2) gave it: not shut down by us, nor reset. True
 * where there are no TCP states. */
bool socket_is_fresh(int fd);

/* Whether a descriptor is a connection-oriented socket that has a peer, or had one, and does not
 * listen. */
bool socket_is_accepted(int fd);

/* Whether the interface that a socket is bound to is gone. One that has its name now is another. */
bool socket_has_lost_device(int fd);

/* Whether a connection with this local address can have come from a socket listening at that one
 * ("every address" fits all, scope and flow label count for nothing). */
bool socket_address_fits(const struct address *listening, const struct address *local);

/* Drops every new SYN that reaches a listening TCP socket, and lets handshakes under way finish
 * (SO_ATTACH_FILTER). */
void socket_stop_syn(int fd);

/* No new datagrams reach a bound socket, whose queue can still be read and which can still send: a
 * socket of the same address gets them (UDP: it is connected to itself), or their senders an error
 * (UNIX: SHUT_RD). For good. */
void socket_stop_datagrams(int fd);

/* How much room a receive queue has. Crowded: half full by SO_MEMINFO; a UNIX datagram socket,
 * whose messages are charged to their senders, when its senders would be held back (asked as one of
 * them). */
enum socket_queue { SOCKET_QUEUE_HAS_ROOM, SOCKET_QUEUE_CROWDED, SOCKET_QUEUE_UNKNOWN };
enum socket_queue socket_queue(int fd);

/* Messages that the kernel has dropped at a socket since it was made: mostly for want of room. Of
 * rows that may lose some. */
bool socket_may_drop(const struct spliced_row *row);
uint32_t socket_drops(int fd);

/* Whether the peer has said FIN, also while bytes from before it wait (POLLRDHUP, poll(2)). */
bool socket_said_fin(int fd);

/* Of groups, a datagram socket of inet or inet6 hears only what it has joined itself
 * (IP_MULTICAST_ALL). */
void socket_hear_only_joined(int fd);

/* Messages of a UNIX socket come with their sender's credentials (SO_PASSCRED, unix(7)), or
 * without, and with nothing else: no time stamp, no security label, no pidfd, which would be a
 * descriptor of ours. */
void socket_tell_only_credentials(int fd, bool tell);

/* Bytes that were ever taken out of, and put into, a TCP connection (TCP_INFO with SIOCINQ,
 * SIOCOUTQ); false where the kernel cannot tell. */
bool socket_tcp_counts(int fd, uint64_t *taken, uint64_t *put);

/* Urgent data stays in its place in the stream (SO_OOBINLINE), and SIOCINQ tells of it. For TCP,
 * which loses some of it otherwise: set before any can come; what a listening socket accepts has it
 * too. */
void socket_keep_urgent(int fd);

/* Whether an urgent byte is next (SIOCATMARK). */
bool socket_is_at_mark(int fd);

/* How many bytes were ever taken out of a TCP connection; a FIN that has come is counted as one.
 * False: it does not hold still, or the kernel cannot tell. */
struct socket_consumed {
	uint64_t bytes;
	bool fin;   /* a FIN has come */
	bool reset; /* the connection was reset: nobody can tell whether a FIN had come */
};
bool socket_tcp_consumed(int fd, struct socket_consumed *ret);

/* A peer's uid and gid, SO_PEERCRED. 0 or negative errno. */
int socket_peer_credentials(int fd, uid_t *uid, gid_t *gid);

/* The peer's supplementary groups, SO_PEERGROUPS: how many, none where the family has no such
 * thing; or negative errno, -ERANGE for more than max. */
int socket_peer_groups(int fd, gid_t *groups, unsigned max);

/* Puts the local, or the peer's, address into *ret. 0 or negative errno. */
int socket_local_address(int fd, struct address *ret);
int socket_peer_address(int fd, struct address *ret);

/* The address that others on this machine see of a connected socket: its local one, with the scope
 * that it may lack where it sends to a group. 0 or negative errno. */
int socket_sender_address(int fd, struct address *ret);

/* A TCP socket that has ended knows its address, but its port no more: it gets that of the address
 * that was listened at. */
void socket_fill_port(struct address *local, const struct address *listening);

/* Where a connection that was redirected on its way here meant to go (SO_ORIGINAL_DST). 0 or
 * negative errno: it was not. */
int socket_original_address(int fd, struct address *ret);

/* A number for the socket's network namespace, never that of another (SO_NETNS_COOKIE); 0: this
 * kernel has none. */
uint64_t socket_netns(int fd);

/* Gives a UNIX socket a name that nobody else has (autobind, unix(7)). 0 or negative errno. */
int socket_take_name(int fd);
