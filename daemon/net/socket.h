/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets of any family, as the data path needs them: opened from an endpoint's description,
 * queried, and ended. All are non-blocking and close-on-exec. Nothing here logs.
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

/* The call that failed, for the operator. */
struct socket_failure {
	const char *call; /* "bind", ... */
};

/* A socket that is going to listen: socket, prepare, bind (with the family's reclaim), bound. No
 * client can reach it before socket_listen(), so it can be closed without harm. (UDP: another
 * socket tests whether it can be bound.) reuse_port shares the address with other sockets of this
 * daemon. A socket that was passed is used as it is: it listens already. Returns the descriptor, or
 * negative errno with *failure set. */
int socket_bind(const struct family *family, const struct spliced_options *options,
		const struct address *address, const struct socket_options *common, bool reuse_port,
		struct socket_failure *failure);

/* Opens it to clients: listen(2), where the row has connections; bind(2), where that is delayed,
 * and the family's bound() is still to be called. Runs no code of the family. 0, or negative errno
 * with *failure set: another process was faster. */
int socket_listen(int fd, const struct spliced_row *row, const struct address *address, int backlog,
		  struct socket_failure *failure);

/* UDP: once bound, a socket gets its share of the traffic, even if it is never read. */
bool socket_is_bound_late(const struct spliced_row *row);

/* Whether a listening socket of this kind has no accept(2): datagrams, and feeds. */
bool socket_has_no_connections(const struct spliced_row *row);

/* Whether one socket could bind the address exclusively: 0, or -EADDRINUSE and the like. Finds
 * another daemon of the same user, which a SO_REUSEPORT group would silently share with. */
int socket_probe(const struct family *family, const struct spliced_options *options,
		 const struct address *address, const struct socket_options *common);

/* The size that a socket's buffer was given, in bytes as requested (the kernel doubles it and
 * reports that); 0: unknown. */
enum socket_buffer { SOCKET_RECEIVES, SOCKET_SENDS };
int64_t socket_granted(int fd, enum socket_buffer buffer);

/* How much of the buffers sndbuf and rcvbuf of *common the kernel would grant this process; stored
 * in *common. 0 or negative errno. */
int socket_try_buffers(struct socket_options *common);

/* A socket ready to be connected: socket, options, prepare. Returns the descriptor or negative
 * errno. */
int socket_open(const struct family *family, const struct spliced_options *options,
		const struct socket_options *common);

/* Sets the options of every family on an open socket; unset ones are restored to the system's
 * value. Accepted sockets inherit the options of a listening one. 0 or negative errno. */
int socket_change(int fd, const struct spliced_row *row, const struct socket_options *common);

/* Sets again what a family's own options may have changed: the priority. 0 or negative errno. */
int socket_set_priority(int fd, const struct socket_options *common);

/* Sets what an accepted socket does not inherit: the priority, and everything for UNIX sockets.
 * Errors are ignored. */
void socket_set_accepted(int fd, const struct spliced_row *row,
			 const struct socket_options *common);

/* Sets the options that are set in *common, as far as this process is permitted; NULL: none. 0 or
 * negative errno.
 */
int socket_apply(int fd, const struct socket_options *common);

/* setsockopt(2) and, of SOL_SOCKET, getsockopt(2) of an option that is an int. 0 or negative errno;
 * the value, or -1. */
int socket_set_int(int fd, int level, int option, int64_t value);
int socket_get_int(int fd, int option);

/* connect(2). 0: connected; -EINPROGRESS: under way; other negative errno: failed. */
int socket_connect(int fd, const struct address *address);

/* Takes the pending error, SO_ERROR: 0 or negative errno. */
int socket_take_error(int fd);

/* What an error of splice(2) means for a file: after a hangup splice(2) fails with EINVAL, and
 * read(2) and write(2) with EIO. */
int socket_file_error(int fd, int error);

/* Whether connect(2) has succeeded: getpeername(2) answers. */
bool socket_is_connected(int fd);

/* The result of poll(2) for a socket now: the given events, POLLERR and POLLHUP. */
short socket_poll(int fd, short events);

/* The kernel's numbers, which are part of its ABI, of the states used here. */
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

/* Bytes not yet acknowledged by the peer (SIOCOUTQ); 0 if the family does not report them. */
int socket_unsent(int fd);

/* Bytes waiting to be read (SIOCINQ); 0 if the family does not report them. */
int socket_unread(int fd);

/* Makes close(2) an abort: the peer sees a reset (SO_LINGER with 0 s). For sockets of rows that
 * have one. */
void socket_set_abort(int fd);
void socket_clear_abort(int fd);

/* Binds a socket of inet or inet6 that is not bound yet to the host of that address, at a port that
 * the kernel chooses. 0 or negative errno. */
int socket_bind_host(int fd, const struct address *address);

/* Makes a datagram socket of inet or inet6 report errors without a connection (IP_RECVERR); they
 * must be read from its error queue. */
void socket_want_errors(int fd);
void socket_forget_errors(int fd);

/* SO_COOKIE: a number that no other socket of this system ever gets; 0: not supported by the
 * kernel. */
uint64_t socket_cookie(int fd);

/* Whether an accepted TCP socket is as accept(2) returned it: not shut down by us, nor reset. True
 * where there are no TCP states. */
bool socket_is_fresh(int fd);

/* Whether a descriptor is a connection-oriented socket that has a peer, or had one, and does not
 * listen. */
bool socket_is_accepted(int fd);

/* Whether the interface that a socket is bound to is gone. A new one with its name is another. */
bool socket_has_lost_device(int fd);

/* Whether a connection with this local address can have come from a socket listening at that one
 * (the wildcard address matches all; scope and flow label are ignored). */
bool socket_address_fits(const struct address *listening, const struct address *local);

/* Drops every new SYN to a listening TCP socket; handshakes under way finish (SO_ATTACH_FILTER). */
void socket_stop_syn(int fd);

/* Stops new datagrams to a bound socket for good; its queue can still be read, and it can still
 * send. Another socket with its address gets them (UDP: this one is connected to itself), or their
 * senders get an error (UNIX: SHUT_RD). */
void socket_stop_datagrams(int fd);

/* How full a receive queue is. Crowded: half full by SO_MEMINFO; for a UNIX datagram socket, whose
 * messages are charged to their senders: a sender would block (tested by acting as one). */
enum socket_queue { SOCKET_QUEUE_HAS_ROOM, SOCKET_QUEUE_CROWDED, SOCKET_QUEUE_UNKNOWN };
enum socket_queue socket_queue(int fd);

/* Messages that the kernel has dropped at a socket since it was made: mostly for lack of room. For
 * rows that may lose messages. */
bool socket_may_drop(const struct spliced_row *row);
uint32_t socket_drops(int fd);

/* Whether the peer has sent FIN, also while earlier bytes are unread (POLLRDHUP, poll(2)). */
bool socket_said_fin(int fd);

/* Makes a datagram socket of inet or inet6 receive only multicast groups that it joined itself
 * (IP_MULTICAST_ALL). */
void socket_hear_only_joined(int fd);

/* Makes messages of a UNIX socket come with their sender's credentials (SO_PASSCRED, unix(7)) or
 * without, and with nothing else: no time stamp, no security label, no pidfd, which would be a new
 * descriptor. */
void socket_tell_only_credentials(int fd, bool tell);

/* Bytes ever read from and written to a TCP connection (TCP_INFO with SIOCINQ, SIOCOUTQ); false if
 * the kernel does not report them. */
bool socket_tcp_counts(int fd, uint64_t *taken, uint64_t *put);

/* Keeps urgent data in its place in the stream (SO_OOBINLINE), so that SIOCINQ counts it. For TCP,
 * which may lose some of it otherwise: set before any can arrive; accepted sockets inherit it. */
void socket_keep_urgent(int fd);

/* Whether an urgent byte is next (SIOCATMARK). */
bool socket_is_at_mark(int fd);

/* How many bytes were ever read from a TCP connection; a received FIN counts as one. False: the
 * count keeps changing, or the kernel does not report it. */
struct socket_consumed {
	uint64_t bytes;
	bool fin;   /* a FIN was received */
	bool reset; /* the connection was reset: whether a FIN was received is unknown */
};
bool socket_tcp_consumed(int fd, struct socket_consumed *ret);

/* A peer's uid and gid, SO_PEERCRED. 0 or negative errno. */
int socket_peer_credentials(int fd, uid_t *uid, gid_t *gid);

/* The peer's supplementary groups, SO_PEERGROUPS: their number, 0 if the family does not have them;
 * or negative errno, -ERANGE for more than max. */
int socket_peer_groups(int fd, gid_t *groups, unsigned max);

/* Stores the local or the peer's address in *ret. 0 or negative errno. */
int socket_local_address(int fd, struct address *ret);
int socket_peer_address(int fd, struct address *ret);

/* The address of a connected socket as other sockets on this machine see it: its local one, with
 * the scope, which it may lack if it sends to a multicast group. 0 or negative errno. */
int socket_sender_address(int fd, struct address *ret);

/* A TCP socket that has ended still has its address, but not its port: the port is taken from the
 * listening address. */
void socket_fill_port(struct address *local, const struct address *listening);

/* The original destination of a redirected connection (SO_ORIGINAL_DST). 0, or negative errno: it
 * was not redirected. */
int socket_original_address(int fd, struct address *ret);

/* A number for the socket's network namespace, never reused (SO_NETNS_COOKIE); 0: not supported by
 * the kernel. */
uint64_t socket_netns(int fd);

/* Gives a UNIX socket a unique name (autobind, unix(7)). 0 or negative errno. */
int socket_take_name(int fd);
