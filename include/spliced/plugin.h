/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * spliced/plugin.h: the only header of spliced that a family plugin may include.
 *
 * A family describes; the daemon does. A plugin says which kinds of socket its family has (rows),
 * which options an endpoint of it takes (options), how options become a socket address, and how an
 * address becomes text again. socket(2), bind(2), listen(2), accept(2), connect(2), every loop,
 * buffer, timer and retry is the daemon's. The words are those of socket(7).
 *
 * A plugin is one shared object, FAMILY.so, that exports one const symbol, `spliced_plugin`. It
 * imports no symbol of the daemon (link it with -Wl,-z,defs); what the daemon offers reaches it as
 * a table, struct spliced_host.
 *
 * The process that runs a callback is given at each of them, in these words:
 *   checker  a child that was made to check a configuration, without privileges that the sockets
 *            will need; what it answers is kept with the configuration, and not asked again
 *   errand   a child that was made to open, change or close listening sockets; it shares the
 *            daemon's descriptors, has its privileges, and is in the endpoint's network namespace
 *   worker   the process with the traffic, on any of its threads; never twice at once for a session
 *   sidecar  a process of the plugin's own for a listening endpoint
 * The keeper, which supervises them, runs no code of a plugin.
 *
 * Rules for every callback
 *   - Returns 0, or a negative errno after saying what is wrong with SPLICED_ERROR() where options
 *     are available.
 *   - Keeps no state that is not const or atomic, never blocks on anything but a local file system,
 *     never forks, never starts a thread, never changes the process. What it writes to memory no
 *     other process sees: what a checker or an errand sets is not there in a worker.
 *   - One that crashes, or takes longer than 20 s, in a checker or an errand ends that child, and
 *     no session; the reload is refused. In a worker it ends the worker, and the heir continues;
 *     again, and the session, then the route, is given up.
 *   - Owns nothing that it is given: options, addresses and texts live until the callback returns,
 *     no longer.
 *   - Opens no descriptor that outlives the callback: the daemon shares one descriptor table
 *     between processes and closes unrecorded ones.
 *   - Lengths are in bytes, durations in nanoseconds, unless a name says otherwise.
 *
 * Layout and history
 *   Structs have the same layout on every architecture, of 32 or 64 bits: what may be 8 bytes wide
 *   is aligned to 8. They grow at their tails only; a minor number marks each growth. A plugin says
 *   the sizes it was built with, the minor, and the lowest minor that it can live with
 *   (SPLICED_PLUGIN_HEAD does), so that an older plugin loads into a newer daemon, and a newer one
 *   into an older daemon where it needs nothing newer. A new major number breaks all.
 *
 *   1.0 to 1.4 were never released as stable; no daemon of 2.0 loads their plugins
 *   2.0  the first with frozen sizes
 *   2.1  peer_kind, peer_offset and peer_len of a row; log() and count() of the host, counters
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPLICED_ABI_MAJOR 2
#define SPLICED_ABI_MINOR 1

/* Of members that are 4 bytes wide on some architectures and 8 on others, and what follows them. */
#define SPLICED_WIDE __attribute__((aligned(8)))

/* The smallest sizes that any daemon of major 2 takes, and those of a later minor where a struct
 * has grown. They never change; sizeof is the last of them. */
enum spliced_size {
	SPLICED_PLUGIN_SIZE_2_0 = 280,
	SPLICED_ROW_SIZE_2_0 = 56,
	SPLICED_OPTION_SIZE_2_0 = 72,
	SPLICED_FORMAT_SIZE_2_0 = 56,
	SPLICED_VALUE_SIZE_2_0 = 56,
	SPLICED_OPTIONS_SIZE_2_0 = 64,
	SPLICED_HOST_SIZE_2_0 = 16,
	SPLICED_RULE_SIZE_2_0 = 48,
	SPLICED_MESSAGE_SIZE_2_0 = 56,
	SPLICED_RING_SIZE_2_0 = 72,
	SPLICED_CONSUMER_SIZE_2_0 = 40,

	SPLICED_ROW_SIZE_2_1 = 64,
	SPLICED_COUNTER_SIZE_2_1 = 24,
	SPLICED_HOST_SIZE_2_1 = 32,
	SPLICED_PLUGIN_SIZE_2_1 = 296,
};

/* Which end of a route an endpoint is. Used alone and as bits. */
enum spliced_role {
	SPLICED_LISTEN = 1,  /* bound; clients arrive here */
	SPLICED_CONNECT = 2, /* connected; a target */
};

/*
 * What the kernel does with a socket of a row. The daemon decides from two rows, never from two
 * names, how a route moves its traffic: claim only what socket(7), or the family's page in section
 * 7, promises. There are two kinds:
 *
 * A promise is something more that the kernel guarantees. A daemon that does not know one makes no
 * use of it, and is right all the same. Bits 0 to 31.
 */
enum spliced_promise {
	SPLICED_CAN_LISTEN = 1 << 0,
	SPLICED_CAN_CONNECT = 1 << 1,
	SPLICED_RELIABLE = 1 << 2,    /* nothing is dropped between two live peers */
	SPLICED_HALF_CLOSE = 1 << 3,  /* shutdown(2) with SHUT_WR tells the peer the end, and it may
					 still send */
	SPLICED_READERS = 1 << 4,     /* SO_REUSEPORT: one listening socket for each thread */
	SPLICED_PASSES_FDS = 1 << 5,  /* SCM_RIGHTS, unix(7) */
	SPLICED_CREDENTIALS = 1 << 6, /* SO_PEERCRED tells a peer's uid and gid, unix(7) */
	SPLICED_RESET = 1 << 7,	   /* SO_LINGER with a time of 0 turns close(2) into an abort that
				    * the peer sees; SIOCOUTQ tells what an abort would overtake */
	SPLICED_TCP_INFO = 1 << 8, /* TCP_INFO, SIOCINQ and SIOCOUTQ tell state and bytes, tcp(7) */
};

/*
 * A trait is something that a daemon has to know to use such a socket at all. One that it does not
 * know, it refuses, with the plugin. Bits 32 to 63, in the order of SPLICED_TRAIT_NAMES.
 */
#define SPLICED_TRAIT(n) (UINT64_C(1) << (32 + (n)))

/* Peers without connections: recvfrom(2), sendto(2). */
#define SPLICED_CONNECTIONLESS SPLICED_TRAIT(0)

/* A message is received as it was sent, whole or not at all. recv(2) with less room than a message
 * needs takes all of it from the queue, and MSG_TRUNC tells its length. */
#define SPLICED_BOUNDARIES SPLICED_TRAIT(1)

/* Nothing can be sent, unless may_send() lets it pass: what comes for it is read, dropped and
 * counted. */
#define SPLICED_RECEIVE_ONLY SPLICED_TRAIT(2)

/* Listened on, it is not accepted from and knows no peers: messages simply come, as from netlink(7)
 * and packet(7); with a format it is only received from. */
#define SPLICED_FEED SPLICED_TRAIT(3)

/* A target's socket is bound to where it sends, not connected, as packet(7): check() binds it. */
#define SPLICED_BINDS SPLICED_TRAIT(4)

/* MSG_PEEK of a stream shows the first of its packets, however many wait. */
#define SPLICED_SHORT_PEEK SPLICED_TRAIT(5)

/* No socket, but a file that open() opens, as a serial line or a TUN device: read(2) and write(2)
 * take the place of recvmsg(2) and sendmsg(2). With BOUNDARIES each call is one message. For
 * targets and dials: CAN_CONNECT alone. */
#define SPLICED_FILE SPLICED_TRAIT(6)

/* What a daemon calls a trait that it does not know: a word for each, in the order of bits. */
#define SPLICED_TRAIT_NAMES "connectionless boundaries receive-only feed binds short-peek file"

/* How message edges are kept on a stream: the words of the endpoint option `framing`. */
enum spliced_framing {
	SPLICED_FRAMING_UNSET,
	SPLICED_FRAMING_NONE,	     /* edges are not kept */
	SPLICED_FRAMING_LENGTH16,    /* 2 bytes, big-endian: RFC 4571 */
	SPLICED_FRAMING_LENGTH32,    /* 4 bytes, big-endian */
	SPLICED_FRAMING_LINE,	     /* LF after each */
	SPLICED_FRAMING_NETSTRING,   /* "5:hello," */
	SPLICED_FRAMING_OCTET_COUNT, /* "5 hello": RFC 6587 */
	SPLICED_FRAMING_SLIP,	     /* RFC 1055 */
	SPLICED_FRAMING_NUL,	     /* a zero byte after each */
	SPLICED_FRAMING_AUTO, /* of a listener: OCTET_COUNT where the first byte is a digit, else
				 LINE: RFC 6587; it sends LINE */
};

/* What identifies a peer's machine in its address, so that the daemon applies rules of `allow` and
 * `deny` to it. */
enum spliced_peer {
	SPLICED_PEER_UNSET,    /* IP for the domains AF_INET and AF_INET6; else none */
	SPLICED_PEER_IP,       /* 4 or 16 bytes, IPv4 or IPv6: "10.0.0.0/8"; sockaddr_in and
				  sockaddr_in6 need no offset */
	SPLICED_PEER_BYTES,    /* bytes, most significant first: "00:11:22:00:00:00/24" */
	SPLICED_PEER_REVERSED, /* the same, least significant first, as Bluetooth's */
	SPLICED_PEER_NUMBER,   /* a number of 1, 2, 4 or 8 bytes in the machine's order: "3" */
};

/* One kind of socket of the family: a (type, protocol) pair. */
struct spliced_row {
	int32_t type;	    /* SOCK_STREAM, ... as in socket(2), without flags */
	int32_t protocol;   /* as in socket(2) */
	int32_t domain;	    /* AF_INET, ...; 0: the plugin's */
	uint32_t link_type; /* pcap link type of its messages (tcpdump.org/linktypes.html), or 0. If
			       no format of the plugin begins with "pcap", the daemon adds pcap and
			       pcapng, in which messages are as received() leaves them */
	const char *name SPLICED_WIDE;	  /* the protocol's word in a config ("tcp"), or NULL where
					     the type has only one */
	const char *scheme SPLICED_WIDE;  /* everyday scheme of endpoint strings ("tcp4"), or NULL:
					     FAMILY and FAMILY-TYPE always work */
	const char *pattern SPLICED_WIDE; /* how an address reads in an endpoint string: option
					     names in capitals ("HOST:PORT", "PATH") */
	uint64_t capabilities SPLICED_WIDE; /* promises and traits */
	uint64_t max_message SPLICED_WIDE;  /* bytes of the largest message; 0 for streams */
	/* 2.1: where a sockaddr has the peer's address, and its length, at most 16 bytes */
	uint32_t peer_kind SPLICED_WIDE; /* enum spliced_peer; a daemon that does not know it has
					    rules of rule() only */
	uint16_t peer_offset;
	uint16_t peer_len;
};

enum spliced_option_type {
	SPLICED_BOOL = 1,	/* number: 0 or 1 */
	SPLICED_NUMBER,		/* number, within min and max; in a config an integer, or a string
				   ("0xff000000") */
	SPLICED_STRING,		/* text */
	SPLICED_WORD,		/* text: one of words; number: its index there */
	SPLICED_WORD_OR_NUMBER, /* text and number as SPLICED_WORD; or text NULL and a number within
				   min and max */
	SPLICED_SIZE,		/* number: bytes */
	SPLICED_DURATION,	/* number: nanoseconds */
	SPLICED_RATE,		/* number: per second */
	SPLICED_MODE,		/* number: permission bits, 0 to 07777 */
	SPLICED_PATH,		/* text: a file's name, absolute, or beginning with '@' */
	SPLICED_INTERFACE, /* text: an interface's name, 1 to 15 bytes; it need not exist yet */
	SPLICED_LIST,	   /* list: strings */
	SPLICED_HOST, /* text: a number, a name, or "" for every address. Of several that apply to a
			 row and a role, the daemon resolves the name of the first, and the others
			 must be numbers; see struct spliced_value */
};

enum spliced_option_flag {
	SPLICED_REQUIRED = 1 << 0, /* an error where it is not set */
	SPLICED_LIVE =
		1 << 1, /* a reload applies a change to the open socket, by prepare() and bound() */
	SPLICED_REOPEN = 1 << 2, /* a change needs a new socket */
};

/* One key that an endpoint of this family takes. The table drives parsing, errors, --describe and
 * the manual. */
struct spliced_option {
	const char *name SPLICED_WIDE; /* as in a config file */
	uint32_t type SPLICED_WIDE;    /* enum spliced_option_type */
	uint32_t flags; /* enum spliced_option_flag: one of LIVE and REOPEN; others are refused */
	uint32_t roles; /* enum spliced_role bits; 0 means both */
	uint32_t reserved;
	uint64_t rows SPLICED_WIDE;	       /* bit N: applies to rows[N]; 0 means all */
	const char *default_text SPLICED_WIDE; /* as it would be written in an endpoint string, or
						  NULL for none */
	int64_t min SPLICED_WIDE, max SPLICED_WIDE; /* range of a NUMBER, SIZE, DURATION or RATE;
						       both 0 means any */
	const char *const *words SPLICED_WIDE;	    /* NULL-terminated, for the WORD types */
	const char *doc SPLICED_WIDE;		    /* one line, no full stop */
};

enum spliced_value_state {
	SPLICED_UNSET = 0,
	SPLICED_DEFAULT = 1, /* from default_text */
	SPLICED_SET = 2,     /* set by the operator; an empty string is SET too */
};

/* What an option was set to. Which members hold something depends on the option's type, above. */
struct spliced_value {
	uint32_t state;	   /* enum spliced_value_state */
	uint32_t list_len; /* strings in list */
	int64_t number SPLICED_WIDE;
	const char *text SPLICED_WIDE; /* NUL-terminated */
	const char *const *list SPLICED_WIDE;
	/* HOST only: one resolved address in network byte order, 4 bytes (in_addr) or 16 (in6_addr)
	 * as the row's domain takes. NULL where the text is "" (every address) and while a name is
	 * not resolved yet: address() then returns -EADDRNOTAVAIL. */
	const void *host SPLICED_WIDE;
	uint32_t host_len SPLICED_WIDE;
	uint32_t host_scope; /* sin6_scope_id, or 0 */
	uint64_t reserved SPLICED_WIDE;
};

struct spliced_options;

/* Levels of log(), as in syslog(3). */
enum spliced_log {
	SPLICED_LOG_ERROR = 3,
	SPLICED_LOG_WARNING = 4,
	SPLICED_LOG_NOTICE = 5,
	SPLICED_LOG_INFO = 6,
	SPLICED_LOG_DEBUG = 7,
};

/* Something that the plugin counts with count(): events of all its endpoints together. */
struct spliced_counter {
	const char *name SPLICED_WIDE; /* a word of at most 31 bytes */
	const char *doc SPLICED_WIDE;  /* one line, no full stop */
	uint64_t reserved SPLICED_WIDE;
};

/* What the daemon offers to a plugin. Read size before a member that came with a later minor. */
struct spliced_host {
	uint32_t size;
	uint32_t abi_minor;
	/* Reports what is wrong with option number OPTION (an index into the plugin's table, or -1
	 * for the endpoint as a whole) and what would be right. The daemon prints it after file,
	 * line and route. */
	void (*error)(const struct spliced_options *options, int option, const char *format, ...)
		__attribute__((format(printf, 3, 4), aligned(8)));
	/* 2.1. In a worker or an errand; elsewhere it does nothing. Logs a line with the family's
	 * name before it. The lines of one FORMAT are logged at most every 10 s, with the number of
	 * those that were not. Never blocks. */
	void (*log)(const struct spliced_options *options, int level, const char *format, ...)
		__attribute__((format(printf, 3, 4), aligned(8)));
	/* 2.1. In a worker or an errand; elsewhere it does nothing. Adds to counter number COUNTER
	 * of the plugin's table. Counts survive workers and reloads, and begin at 0 when the
	 * daemon itself is restarted or upgraded. */
	void (*count)(const struct spliced_options *options, unsigned counter,
		      uint64_t more) SPLICED_WIDE;
};

/* An endpoint's options, in the order of the plugin's table. Use spliced_value(). */
struct spliced_options {
	uint32_t size;
	uint32_t value_stride;
	const struct spliced_host *host SPLICED_WIDE;
	const struct spliced_row *row SPLICED_WIDE; /* the daemon's copy: compare its members, not
						       its address */
	uint32_t role SPLICED_WIDE;		    /* enum spliced_role */
	uint32_t n_values;
	const void *values SPLICED_WIDE;
	const char *format SPLICED_WIDE; /* the endpoint's format, or NULL: messages as they are */
	const struct spliced_row *far SPLICED_WIDE; /* what is at the other end of the route (of a
						       pool, the first); NULL while that is not
						       known: in address() and privileges() */
	uint64_t reserved SPLICED_WIDE;
};

/* The value of option number OPTION of the plugin's table. Never NULL. */
static inline const struct spliced_value *spliced_value(const struct spliced_options *options,
							unsigned option)
{
	return (const struct spliced_value *)((const char *)options->values +
					      (size_t)option * options->value_stride);
}

#define SPLICED_ERROR(options, option, ...) \
	((options)->host->error((options), (option), __VA_ARGS__))

/* These do nothing with a daemon that does not offer them. */
#define SPLICED_HOST_HAS(options, member) \
	((options)->host->size >=         \
	 offsetof(struct spliced_host, member) + sizeof((options)->host->member))
#define SPLICED_LOG(options, level, ...)                                                        \
	(SPLICED_HOST_HAS(options, log) ? (options)->host->log((options), (level), __VA_ARGS__) \
					: (void)0)
#define SPLICED_COUNT(options, counter, more)                                                    \
	(SPLICED_HOST_HAS(options, count) ? (options)->host->count((options), (counter), (more)) \
					  : (void)0)

/* An allow or deny rule, parsed by rule() and read by match(). The bytes are the plugin's. */
struct spliced_rule {
	uint32_t size; /* of this struct */
	uint32_t reserved;
	unsigned char bytes[40] SPLICED_WIDE;
};

/* A message as recvmsg(2) gave it. */
struct spliced_message {
	uint32_t size; /* of this struct */
	socklen_t from_len;
	const struct sockaddr *from SPLICED_WIDE; /* who sent it */
	const void *data SPLICED_WIDE;
	size_t len SPLICED_WIDE;
	uint64_t time
		SPLICED_WIDE; /* CLOCK_REALTIME ns of its arrival, from received(); 0: unknown */
	size_t wire_len
		SPLICED_WIDE; /* its length before it was cut to len, from received(); 0: len */
	uint64_t note SPLICED_WIDE; /* from received() or next() to encode(); 0 at first */
};

/* Messages in memory that the kernel shares with the process, as packet_mmap's. The daemon owns it;
 * the plugin fills it in map(). */
struct spliced_ring {
	uint32_t size; /* of this struct */
	uint32_t reserved;
	void *memory SPLICED_WIDE; /* mmap(2)'s, of len bytes; the daemon unmaps it. NULL: the
				      socket is read by recvmsg(2) */
	size_t len SPLICED_WIDE;
	uint64_t words[6] SPLICED_WIDE; /* the plugin's own */
};

enum {
	SPLICED_STATE_MAX = 64, /* most bytes of state_size */
	SPLICED_REPLY_MAX = 48, /* most bytes that reply() may write */
	SPLICED_HEADROOM = 64,	/* free bytes before the data that received() gets */
};

/* The consumer of the frames that a format makes of one socket's messages. */
struct spliced_consumer {
	uint32_t size; /* of this struct */
	uint32_t late; /* set by event() with SPLICED_LOST where nothing is missing after all, and
			* what found no room comes later: it is not counted as lost */
	int32_t fd;    /* the socket; a format may send(2) a request on it, with MSG_DONTWAIT */
	uint32_t reserved;
	const struct spliced_options *options SPLICED_WIDE;
	void *state SPLICED_WIDE;   /* state_size bytes, zero at first; aligned for uint64_t. They
				       outlive the worker, and the call */
	uint64_t wake SPLICED_WIDE; /* set by the callback: CLOCK_MONOTONIC ns when event() is to be
				       called with SPLICED_WAKE, 0: never */
};

/* Why event() is called. */
enum spliced_event {
	SPLICED_LOST = 1, /* recv(2) failed with ENOBUFS: the kernel dropped messages here */
	SPLICED_BROKEN,	  /* the reader of the socket crashed: messages may be missing here */
	SPLICED_DRAINED,  /* nothing more can be read from the socket now */
	SPLICED_WAKE,	  /* the time that was asked for has come */
};

/*
 * A named message format, whose callbacks run in a worker: a value of an endpoint's option `format`
 * beside "raw", which every family has. It turns a socket's messages into frames for the other side
 * of the session. Each callback makes one frame, at most `size` bytes into `frame`, and returns its
 * length; it is called again, with the same arguments, until it returns 0: no (more) frame.
 * Negative errno: this message is dropped and counted (-EPERM: its sender is not accepted;
 * -EMSGSIZE: its frame is larger than size), and the next is given.
 *
 * A format keeps its position within a message in its state. The daemon lends a copy of the state,
 * and keeps the copy once the frame is sent: so the same call may be repeated if the sink was not
 * ready, or after a crash. Other effects of a callback (a request that it sends) must be harmless
 * if they happen twice.
 */
struct spliced_format {
	const char *name SPLICED_WIDE; /* the word in a config: "json" */
	const char *doc SPLICED_WIDE;  /* one line, no full stop */
	uint64_t rows SPLICED_WIDE;    /* bit N: for rows[N]; 0 means all */
	uint32_t framing SPLICED_WIDE; /* enum spliced_framing: on a stream for which the operator
					  named none; NONE: it frames itself */
	uint32_t state_size;	       /* bytes, at most SPLICED_STATE_MAX */

	/* What a new consumer gets before any message. */
	int (*preamble)(struct spliced_consumer *consumer, void *frame, size_t size) SPLICED_WIDE;

	int (*encode)(struct spliced_consumer *consumer, const struct spliced_message *message,
		      void *frame, size_t size) SPLICED_WIDE;

	/* why: enum spliced_event. Between two messages, never in the middle of one. */
	int (*event)(struct spliced_consumer *consumer, int why, void *frame,
		     size_t size) SPLICED_WIDE;
};

/*
 * What is to come, and may change with each release until 1.0 of the project. This release uses
 * none of it: a plugin that offers one of these is refused, with its name. All of it is optional.
 */
struct spliced_unstable {
	uint32_t size; /* of this struct */
	uint32_t reserved;

	/* The opposite of encode(): makes a message of a frame that was received from that side. */
	int (*decode)(struct spliced_consumer *consumer, const void *frame, size_t len,
		      struct spliced_message *message) SPLICED_WIDE;

	/* Describes a program to be started for a client: NULL-terminated arguments and
	 * environment, within `size` bytes of text; the daemon starts it, with one end of a socket
	 * pair. */
	int (*program)(const struct spliced_options *options, const struct sockaddr *peer,
		       socklen_t len, char *text, size_t size) SPLICED_WIDE;

	/* Tables of what happens before the first byte, and of framings. */
	const void *openings SPLICED_WIDE;
	const void *framings SPLICED_WIDE;
	uint32_t n_openings SPLICED_WIDE;
	uint32_t n_framings;
};

/*
 * The exported symbol. A member that is NULL is not offered; address and describe must be there.
 * SPLICED_PLUGIN_HEAD fills the members up to trait_names.
 */
struct spliced_plugin {
	uint32_t abi_major;	/* SPLICED_ABI_MAJOR */
	uint32_t abi_minor;	/* SPLICED_ABI_MINOR */
	uint32_t abi_needs;	/* lowest minor of a daemon that this plugin can live with */
	uint32_t size;		/* sizeof(struct spliced_plugin) */
	uint32_t row_stride;	/* sizeof(struct spliced_row) */
	uint32_t option_stride; /* sizeof(struct spliced_option) */
	uint32_t format_stride; /* sizeof(struct spliced_format) */
	uint32_t reserved;
	const char *trait_names SPLICED_WIDE; /* SPLICED_TRAIT_NAMES */

	const char *name SPLICED_WIDE;	  /* the family's name in a config, and of the file without
					     ".so" */
	const char *summary SPLICED_WIDE; /* one line, no full stop */
	int32_t domain SPLICED_WIDE;	  /* AF_INET, ...: of rows that name none */
	uint32_t n_rows;		  /* 1 to 64, also those that a machine may lack: a route
					     waits while socket(2) refuses its row */
	uint32_t n_options;		  /* at most 64 */
	uint32_t n_formats;		  /* at most 16 */
	const struct spliced_row *rows SPLICED_WIDE; /* rows[0] is meant where a config names no
							type */
	const struct spliced_option *options SPLICED_WIDE;
	const struct spliced_format *formats SPLICED_WIDE;

	/* ---- what an endpoint is ---- */

	/* Checker; worker when a name was resolved. Options to a socket address. No side effects,
	 * no system calls that need a privilege. Sets *len to the bytes used of *address. A
	 * FILE row has no address: any bytes of which describe() makes a name, behind AF_UNSPEC. */
	int (*address)(const struct spliced_options *options, struct sockaddr_storage *address,
		       socklen_t *len) SPLICED_WIDE;

	/* Checker, errand, worker. A socket address as text, NUL-terminated, in the form of the
	 * row's pattern; "(unnamed)" for a peer without a name. -ENOSPC if size is too small. */
	int (*describe)(const struct spliced_row *row, const struct sockaddr *address,
			socklen_t len, char *text, size_t size) SPLICED_WIDE;

	/* Checker. Capabilities, capabilities(7), that opening such a socket takes beyond an
	 * ordinary user's: bit N is CAP number N. */
	uint64_t (*privileges)(const struct spliced_options *options) SPLICED_WIDE;

	/* Checker. Parses an allow or deny rule that is not an address which the daemon reads
	 * itself (peer_kind of a row). -EINVAL: not a rule of this family; why, in text, if it
	 * nearly was. */
	int (*rule)(const char *rule_text, struct spliced_rule *rule, char *text,
		    size_t size) SPLICED_WIDE;

	/* Worker, when a client comes. 0: the rule does not match this peer; above: it does, and
	 * the higher the more specific. */
	int (*match)(const struct spliced_rule *rule, const struct sockaddr *address,
		     socklen_t len) SPLICED_WIDE;

	/* ---- a socket, from its first moment to its last ---- */

	/* Worker. Opens the file of a FILE row, in the endpoint's network namespace, for reading
	 * and writing; the daemon makes it non-blocking and closes it. Must not wait (O_NONBLOCK),
	 * nor make it a controlling terminal (O_NOCTTY). epoll(7) must take it, which regular files
	 * do not. A confined worker can open what is beneath /dev, and beneath the directories of
	 * the endpoint's PATH options. The descriptor, or negative errno: it is tried again later.
	 */
	int (*open)(const struct spliced_options *options) SPLICED_WIDE;

	/* Errand, of a listening socket; worker, of a target's. Sets the family's socket options,
	 * before bind(2) or connect(2); and again on an open listening socket when a reload changed
	 * a LIVE option. Sockets that were accepted or passed by systemd are not prepared. */
	int (*prepare)(int fd, const struct spliced_options *options) SPLICED_WIDE;

	/* Errand. bind(2) failed with EADDRINUSE: removes what a dead owner left behind, as unix(7)
	 * sockets do. 0: bind again. -EADDRINUSE: the owner is alive, or must not be removed by
	 * us. */
	int (*reclaim)(const struct spliced_options *options, const struct sockaddr *address,
		       socklen_t len) SPLICED_WIDE;

	/* Errand. After bind(2) and before listen(2), as owner and mode of a socket file; and again
	 * when a reload changed a LIVE option. */
	int (*bound)(int fd, const struct spliced_options *options) SPLICED_WIDE;

	/* Worker, every second for an open socket of a FEED or BINDS row: whether it is still bound
	 * as the options require, when an interface has appeared, disappeared or been renamed;
	 * binds it again if needed. The socket of a BINDS target is bound by the first call, and
	 * accepts no message before. Adds to *lost the messages that the kernel has dropped since
	 * the last call. 0; or negative errno: what it waits for, which the route's status shows.
	 * -EBADFD: this socket cannot be bound again: the daemon replaces it by a new one. */
	int (*check)(int fd, const struct spliced_options *options, uint64_t *lost) SPLICED_WIDE;

	/* Errand; worker for a target's FEED socket. The socket is about to be closed for good:
	 * takes back what it has asked of the kernel that would outlive it. May be called twice. */
	void (*release)(int fd, const struct spliced_options *options) SPLICED_WIDE;

	/* Errand. The listening socket is still open but accepts no new clients, and will be closed
	 * for good: removes the name that its bind(2) left in the file system, unless another
	 * process has replaced it. */
	void (*unlink)(const struct spliced_options *options, const struct sockaddr *address,
		       socklen_t len) SPLICED_WIDE;

	/* Worker, an heir, for a connection that the previous worker had just accepted. Whether a
	 * connection whose own end has the address `local` can have been accepted by a socket that
	 * listens at `listening`: 1 or 0. For families with an address that stands for many, as
	 * vsock's "any"; absent: the two are equal. */
	int (*fits)(const struct spliced_options *options, const struct sockaddr *listening,
		    socklen_t listening_len, const struct sockaddr *local,
		    socklen_t local_len) SPLICED_WIDE;

	/* Checker with run 0: only returns whether there is anything to do, 1 or 0. Sidecar: runs
	 * for as long as a listening endpoint is open, has none of the daemon's descriptors, may
	 * block, and is killed at the end: for example to keep an announcement alive. If it
	 * returns, it is run again some seconds later. */
	int (*sidecar)(const struct spliced_options *options, int run) SPLICED_WIDE;

	/* ---- messages: worker ---- */

	/* The bytes that identify a peer: padding, ports that mean nothing, flow labels removed.
	 * Returns their number, at most size, or -ENOSPC. Absent: the address as it is. */
	int (*peer_key)(const struct spliced_options *options, const struct sockaddr *address,
			socklen_t len, void *key, size_t size) SPLICED_WIDE;

	/* Which of our addresses a message was sent to, as control data for the sendmsg(2) of a
	 * reply that is to leave from there (IP_PKTINFO): written to `control`, at most size
	 * (SPLICED_REPLY_MAX) bytes. Messages of one peer to two addresses of ours are two sessions
	 * where these bytes differ. Returns their number, 0 for none. For listening CONNECTIONLESS
	 * rows; `received` is as recvmsg(2) left it, with up to 128 bytes of control data. */
	int (*reply)(const struct spliced_options *options, const struct msghdr *received,
		     void *control, size_t size) SPLICED_WIDE;

	/* Completes a message of recvmsg(2) before it is used: restores what the kernel removed (a
	 * VLAN tag), reads its time from the control data. SPLICED_HEADROOM bytes before
	 * message->data are free and writable, and so is the data: it may begin earlier afterwards.
	 * Negative errno: the message is dropped and counted, as by encode(). From a sender's
	 * address, received->msg_name, it may remove what does not identify the sender. For FEED
	 * and CONNECTIONLESS rows. */
	int (*received)(const struct spliced_options *options, const struct msghdr *received,
			struct spliced_message *message) SPLICED_WIDE;

	/* Whether the kernel has handed this message to each socket that is bound to its address,
	 * as it does with broadcasts, and not to one of them: 1 or 0. One thread's is then relayed,
	 * and the others' are no messages. For CONNECTIONLESS rows with READERS; `received` is as
	 * recvmsg(2) left it. */
	int (*copied)(const struct spliced_options *options,
		      const struct msghdr *received) SPLICED_WIDE;

	/* Whether a message may be sent by a socket of a RECEIVE_ONLY row. Negative errno: it is
	 * dropped and counted. Checker with data NULL, for every row: whether there are any that
	 * may; if not, nothing can be sent to the endpoint. */
	int (*may_send)(const struct spliced_options *options, const void *data,
			size_t len) SPLICED_WIDE;

	/* Maps the ring of a socket whose prepare() asked the kernel for one: at first, and again
	 * in an heir, which continues where the previous worker stopped: the read position is in
	 * the ring itself. 0, or negative errno. For FEED rows. */
	int (*map)(int fd, const struct spliced_options *options,
		   struct spliced_ring *ring) SPLICED_WIDE;

	/* The ring's next message, from where the last call stopped; *message is filled, its data
	 * are in the ring. 1; 0: no more now; -EMSGSIZE: it was too large for the ring and lies in
	 * the socket's queue, the next for recvmsg(2); other negative errno: it is dropped and
	 * counted, as by encode(). The daemon consumes such a one before it asks for the next. */
	int (*next)(struct spliced_ring *ring, const struct spliced_options *options,
		    struct spliced_message *message) SPLICED_WIDE;

	/* The first `count` messages that next() returned are done, and their room is returned to
	 * the kernel; next() continues behind them. */
	void (*consume)(struct spliced_ring *ring, const struct spliced_options *options,
			unsigned count) SPLICED_WIDE;

	/* NULL, unless the plugin is of the daemon's very release. */
	const struct spliced_unstable *unstable SPLICED_WIDE;

	/* 2.1: what it counts */
	const struct spliced_counter *counters SPLICED_WIDE;
	uint32_t n_counters SPLICED_WIDE; /* at most 16 */
	uint32_t counter_stride;	  /* sizeof(struct spliced_counter) */
};

/* The head of every plugin's descriptor. needs: the lowest minor of a daemon that it can live
 * with. */
#define SPLICED_PLUGIN_HEAD(needs)                                                            \
	.abi_major = SPLICED_ABI_MAJOR, .abi_minor = SPLICED_ABI_MINOR, .abi_needs = (needs), \
	.size = sizeof(struct spliced_plugin), .row_stride = sizeof(struct spliced_row),      \
	.option_stride = sizeof(struct spliced_option),                                       \
	.format_stride = sizeof(struct spliced_format),                                       \
	.counter_stride = sizeof(struct spliced_counter), .trait_names = SPLICED_TRAIT_NAMES

extern const struct spliced_plugin spliced_plugin __attribute__((visibility("default")));

#ifdef __cplusplus
}
#endif
