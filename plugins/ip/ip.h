/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What inet and inet6 share: the options, the texts of addresses, the socket options. */
#pragma once

#include <spliced/plugin.h>

#include <netinet/in.h>
#include <string.h>

/* The options, in the order of ip_options. inet has those before IP_INET_OPTIONS. */
enum ip_option {
	IP_OPTION_HOST,
	IP_OPTION_PORT,
	IP_OPTION_BACKLOG,
	IP_OPTION_INTERFACE,
	IP_OPTION_SOURCE,
	IP_OPTION_FREEBIND,
	IP_OPTION_TRANSPARENT,
	IP_OPTION_NODELAY,
	IP_OPTION_KEEPALIVE,
	IP_OPTION_USER_TIMEOUT,
	IP_OPTION_FASTOPEN,
	IP_OPTION_DEFER_ACCEPT,
	IP_OPTION_CONGESTION,
	IP_OPTION_TOS,
	IP_OPTION_TTL,
	IP_OPTION_BROADCAST,
	IP_OPTION_MULTICAST_SOURCE,
	IP_OPTION_MULTICAST_TTL,
	IP_OPTION_MULTICAST_LOOP,
	IP_INET_OPTIONS,
	IP_OPTION_V6ONLY = IP_INET_OPTIONS,
	IP_OPTION_FLOWLABEL,
	IP_INET6_OPTIONS,
};

extern const struct spliced_option ip_options[IP_INET6_OPTIONS];

/* Rows of both families, the first of them meant where a config names no type. */
enum ip_row { IP_ROW_TCP, IP_ROW_MPTCP, IP_ROW_UDP, IP_ROWS };

#define IP_STREAM                                                                           \
	(SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_RELIABLE | SPLICED_HALF_CLOSE | \
	 SPLICED_READERS | SPLICED_RESET)

#define IP_DATAGRAM                                                                               \
	(SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_CONNECTIONLESS | SPLICED_BOUNDARIES | \
	 SPLICED_READERS)

/* Bytes of the largest UDP datagram: 65,535 less the headers, of which IPv6 counts its own
 * apart. */
enum { IP_UDP_MAX = 65507, IP6_UDP_MAX = 65527 };

/* An address without a port, in network byte order: 4 bytes for AF_INET, 16 for AF_INET6. */
struct ip_host {
	unsigned char bytes[16];
	uint32_t scope;	       /* interface index, or 0 */
	const char *interface; /* the scope as it was written: its index depends on the socket,
				  ip_index(); or NULL */
};

/* The index that an interface has in a socket's network namespace, by its name or that number. 0;
 * or -ENODEV with an error reported. */
int ip_index(int fd, const struct spliced_options *options, int option, const char *interface,
	     unsigned *ret);

/* The host of option HOST: resolved, as a number, or "" for every address. 0, or negative errno
 * with an error reported, except for -EADDRNOTAVAIL: a name that is not resolved yet. Checks option
 * SOURCE, too. */
int ip_host(const struct spliced_options *options, int domain, struct ip_host *ret);

/* The same for option SOURCE, which takes numbers only. -ENOENT: it names no address. */
int ip_source(const struct spliced_options *options, int domain, struct ip_host *ret);

/* The local port that option SOURCE names for what is sent to a group, ":5353"; 0: none. */
unsigned ip_source_port(const struct spliced_options *options);

/* Puts a host and a port in host byte order into an address of the domain. */
void ip_sockaddr(int domain, const struct ip_host *host, unsigned port,
		 struct sockaddr_storage *address, socklen_t *len);

/* What IPv4 addresses in IPv6 dress begin with. */
extern const unsigned char ip_mapped[12];

static inline int ip_is_mapped(const unsigned char bytes[16])
{
	return !memcmp(bytes, ip_mapped, sizeof ip_mapped);
}

/* One form for the addresses of both families: 16 bytes, IPv4 mapped. */
struct ip_peer {
	unsigned char bytes[16];
	uint16_t port; /* network byte order */
	uint32_t scope;
};

/* 0, or -EAFNOSUPPORT. */
int ip_read_peer(const struct sockaddr *address, socklen_t len, struct ip_peer *ret);

/* Callbacks of both families. They take addresses of either domain: IPv4 shows up in IPv6 dress,
 * and a PROXY header announces what it likes. */
int ip_describe(const struct spliced_row *row, const struct sockaddr *address, socklen_t len,
		char *text, size_t size);
int ip_peer_key(const struct spliced_options *options, const struct sockaddr *address,
		socklen_t len, void *key, size_t size);
uint64_t ip_privileges(const struct spliced_options *options);

/* Where the two families' socket options differ. */
struct ip_level {
	int domain;
	int level;
	int tos, ttl, freebind, transparent;
};

/* Sets what both families know, on a new socket or, the LIVE options only, on a listening one. */
int ip_prepare(int fd, const struct spliced_options *options, const struct ip_level *level);

/* Whether the socket listens already, or is bound where datagrams have no listen(2): a reload
 * changes its LIVE options. */
int ip_is_open(int fd);

/* setsockopt(2) of an int for an option. 0, or negative errno with an error reported. */
int ip_set(int fd, const struct spliced_options *options, int option, int level, int name,
	   int value);

/* Whether an address is one of a multicast group. */
int ip_is_multicast(int domain, const struct ip_host *host);

/* What datagrams need beside ip_prepare(): the destination address (IP_PKTINFO, ip(7)), groups,
 * broadcasts. `open`: it is bound already. 0, or negative errno with an error reported. */
int ip_prepare_datagrams(int fd, const struct spliced_options *options, int domain, int open);

/* Callback of both families. */
int ip_reply(const struct spliced_options *options, const struct msghdr *received, void *control,
	     size_t size);
int ip_copied(const struct spliced_options *options, const struct msghdr *received);
