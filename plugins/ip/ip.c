/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses of inet and inet6: from the text of a config, and into text. IPv4 in IPv6 dress
 * (::ffff:10.0.0.1, as an inet6 socket without v6only sees it) is IPv4 everywhere: in texts, in
 * keys and in rules.
 *
 * Only the plain notations count as numbers. inet_aton(3) would take "10.1" for 10.0.0.1 and
 * "010.0.0.1" for 8.0.0.1; here they are mistakes, since no name ends in a number either.
 */
#include "ip/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

const unsigned char ip_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Whether a text can only be meant as a number: digits and dots, or a colon somewhere. */
static int looks_numeric(const char *text)
{
	return strchr(text, ':') || !text[strspn(text, "0123456789.")];
}

/* 0: it is none. */
static uint32_t read_index(const char *text)
{
	char *end;
	unsigned long index = strtoul(text, &end, 10);

	return *end || index > INT32_MAX ? 0 : (uint32_t)index;
}

/* It may come, or be of another network namespace. */
static int may_be_interface(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < IF_NAMESIZE && strcspn(name, "/: \t\n") == len;
}

/* fe80::1%eth0: the address before the %, and the interface behind it. Its index here is only a
 * guess: see ip_index(). */
static int parse_inet6(const struct spliced_options *options, int option, const char *text,
		       struct ip_host *ret)
{
	const char *scope = strchr(text, '%');
	char number[INET6_ADDRSTRLEN];
	size_t len = scope ? (size_t)(scope - text) : strlen(text);

	if (len >= sizeof number)
		return -EINVAL;
	memcpy(number, text, len);
	number[len] = '\0';
	if (inet_pton(AF_INET6, number, ret->bytes) != 1)
		return -EINVAL;
	if (!scope)
		return 0;
	ret->interface = scope + 1;
	ret->scope = if_nametoindex(scope + 1);
	if (!ret->scope)
		ret->scope = read_index(scope + 1);
	if (ret->scope || (option == IP_OPTION_SOURCE && may_be_interface(scope + 1)))
		return 0;
	SPLICED_ERROR(options, option, "\"%s\": there is no interface \"%s\"", text, scope + 1);
	return -ENODEV;
}

int ip_index(int fd, const struct spliced_options *options, int option, const char *interface,
	     unsigned *ret)
{
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
	*ret = ioctl(fd, SIOCGIFINDEX, &request) < 0 ? read_index(interface)
						     : (unsigned)request.ifr_ifindex;
	if (*ret)
		return 0;
	SPLICED_ERROR(options, option, "there is no interface \"%s\"", interface);
	return -ENODEV;
}

/* A listener without v6only serves mapped addresses; no other socket can have one. */
static int check_mapped(const struct spliced_options *options, int option,
			const unsigned char bytes[16])
{
	const unsigned char *ip = bytes + sizeof ip_mapped;

	if (!ip_is_mapped(bytes))
		return 0;
	if (options->role == SPLICED_LISTEN && !spliced_value(options, IP_OPTION_V6ONLY)->number)
		return 0;
	SPLICED_ERROR(
		options, option,
		"this is the IPv4-mapped address of %u.%u.%u.%u: use the IPv4 address with family \"inet\"",
		ip[0], ip[1], ip[2], ip[3]);
	return -EAFNOSUPPORT;
}

static int refuse_family(const struct spliced_options *options, int option, const char *text,
			 int version)
{
	SPLICED_ERROR(options, option, "\"%s\" is an IPv%d address: use family \"%s\"", text,
		      version, version == 4 ? "inet" : "inet6");
	return -EAFNOSUPPORT;
}

static int parse_number(const struct spliced_options *options, int option, int domain,
			const char *text, struct ip_host *ret)
{
	unsigned char other[16];
	int r;

	if (!looks_numeric(text))
		return -EADDRNOTAVAIL;
	if (domain == AF_INET && inet_pton(AF_INET, text, ret->bytes) == 1)
		return 0;
	r = domain == AF_INET6 ? parse_inet6(options, option, text, ret) : -EINVAL;
	if (r != -EINVAL)
		return r < 0 ? r : check_mapped(options, option, ret->bytes);
	if (domain == AF_INET6 && inet_pton(AF_INET, text, other) == 1)
		return refuse_family(options, option, text, 4);
	if (domain == AF_INET && strchr(text, ':') &&
	    (strchr(text, '%') || inet_pton(AF_INET6, text, other) == 1))
		return refuse_family(options, option, text, 6);
	SPLICED_ERROR(options, option,
		      "\"%s\" is not an address: an IPv4 address is four numbers from 0 to 255, an "
		      "IPv6 address "
		      "is written like 2001:db8::1, without brackets",
		      text);
	return -EINVAL;
}

unsigned ip_source_port(const struct spliced_options *options)
{
	const struct spliced_value *source = spliced_value(options, IP_OPTION_SOURCE);
	uint32_t port = source->state != SPLICED_UNSET && source->text[0] == ':'
				? read_index(source->text + 1)
				: 0;

	return options->role == SPLICED_CONNECT && port <= UINT16_MAX ? port : 0;
}

/* A port of several sockets is for sending only: which of them an answer is for is unknown. Their
 * own messages, received again, could not be told from another program's either. */
static int check_source_port(const struct spliced_options *options, int domain,
			     const struct ip_host *host)
{
	const struct spliced_value *source = spliced_value(options, IP_OPTION_SOURCE),
				   *loop = spliced_value(options, IP_OPTION_MULTICAST_LOOP);

	if (!ip_source_port(options))
		return 0;
	if (options->row->type != SOCK_DGRAM || !ip_is_multicast(domain, host)) {
		SPLICED_ERROR(
			options, IP_OPTION_SOURCE,
			"source \"%s\" is a port, which is only for targets that are multicast "
			"groups; write an address",
			source->text);
		return -EINVAL;
	}
	if (loop->state == SPLICED_SET && loop->number) {
		SPLICED_ERROR(
			options, IP_OPTION_MULTICAST_LOOP,
			"multicast_loop is true, but messages looped back from port %u could not be distinguished from those of "
			"another program; remove multicast_loop or source",
			ip_source_port(options));
		return -EINVAL;
	}
	return 0;
}

int ip_source(const struct spliced_options *options, int domain, struct ip_host *ret)
{
	const struct spliced_value *source = spliced_value(options, IP_OPTION_SOURCE);
	int r;

	*ret = (struct ip_host){0};
	if (source->state == SPLICED_UNSET || options->role != SPLICED_CONNECT)
		return -ENOENT;
	if (ip_source_port(options))
		return -ENOENT;
	if (source->text[0] == ':' && source->text[1] != ':') {
		SPLICED_ERROR(options, IP_OPTION_SOURCE,
			      "source \"%s\" is not a port; ports are :1 to :65535", source->text);
		return -EINVAL;
	}
	r = parse_number(options, IP_OPTION_SOURCE, domain, source->text, ret);
	if (r == -EADDRNOTAVAIL)
		SPLICED_ERROR(options, IP_OPTION_SOURCE,
			      "source \"%s\" is not an address: it must be a number, not a name",
			      source->text);
	return r;
}

static int check_scope(const struct spliced_options *options, int domain,
		       const struct ip_host *host)
{
	if (domain == AF_INET || host->scope || host->bytes[0] != 0xfe ||
	    (host->bytes[1] & 0xc0) != 0x80 ||
	    spliced_value(options, IP_OPTION_INTERFACE)->state != SPLICED_UNSET)
		return 0;
	SPLICED_ERROR(options, IP_OPTION_HOST,
		      "a link-local address needs its interface, such as fe80::1%%eth0");
	return -EINVAL;
}

int ip_is_multicast(int domain, const struct ip_host *host)
{
	return domain == AF_INET ? (host->bytes[0] & 0xf0) == 0xe0 : host->bytes[0] == 0xff;
}

static int check_multicast(const struct spliced_options *options, int domain,
			   const struct ip_host *host)
{
	if (options->row->type != SOCK_STREAM)
		return 0;
	if (!ip_is_multicast(domain, host))
		return 0;
	SPLICED_ERROR(options, IP_OPTION_HOST, "a multicast address cannot be used for streams");
	return -EINVAL;
}

int ip_host(const struct spliced_options *options, int domain, struct ip_host *ret)
{
	const struct spliced_value *host = spliced_value(options, IP_OPTION_HOST);
	size_t len = domain == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	struct ip_host source;
	int r;

	r = ip_source(options, domain, &source);
	if (r < 0 && r != -ENOENT)
		return r == -EADDRNOTAVAIL ? -EINVAL : r;
	*ret = (struct ip_host){0};
	if (host->host) {
		if (host->host_len != len) {
			SPLICED_ERROR(options, IP_OPTION_HOST,
				      "resolved to an address of another family");
			return -EAFNOSUPPORT;
		}
		memcpy(ret->bytes, host->host, len);
		ret->scope = domain == AF_INET6 ? host->host_scope : 0;
		ret->interface = ret->scope && host->text && strchr(host->text, '%')
					 ? strchr(host->text, '%') + 1
					 : NULL;
		r = domain == AF_INET6 ? check_mapped(options, IP_OPTION_HOST, ret->bytes) : 0;
	} else if (host->text && *host->text) {
		r = parse_number(options, IP_OPTION_HOST, domain, host->text, ret);
	} else if (options->role == SPLICED_CONNECT) {
		SPLICED_ERROR(options, IP_OPTION_HOST,
			      "a target needs a host: an address or a name");
		return -EDESTADDRREQ;
	} else {
		return 0;
	}
	if (!r)
		r = check_scope(options, domain, ret);
	if (!r)
		r = check_multicast(options, domain, ret);
	return r < 0 ? r : check_source_port(options, domain, ret);
}

void ip_sockaddr(int domain, const struct ip_host *host, unsigned port,
		 struct sockaddr_storage *address, socklen_t *len)
{
	struct sockaddr_in *in = (struct sockaddr_in *)address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;

	memset(address, 0, sizeof *address);
	address->ss_family = (sa_family_t)domain;
	if (domain == AF_INET) {
		in->sin_port = htons((uint16_t)port);
		memcpy(&in->sin_addr, host->bytes, sizeof in->sin_addr);
		*len = sizeof *in;
	} else {
		in6->sin6_port = htons((uint16_t)port);
		memcpy(&in6->sin6_addr, host->bytes, sizeof in6->sin6_addr);
		in6->sin6_scope_id = host->scope;
		*len = sizeof *in6;
	}
}

int ip_read_peer(const struct sockaddr *address, socklen_t len, struct ip_peer *ret)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;

	memset(ret, 0, sizeof *ret);
	if (len >= sizeof *in && address->sa_family == AF_INET) {
		memcpy(ret->bytes, ip_mapped, sizeof ip_mapped);
		memcpy(ret->bytes + sizeof ip_mapped, &in->sin_addr, sizeof in->sin_addr);
		ret->port = in->sin_port;
		return 0;
	}
	if (len >= sizeof *in6 && address->sa_family == AF_INET6) {
		memcpy(ret->bytes, &in6->sin6_addr, sizeof in6->sin6_addr);
		ret->port = in6->sin6_port;
		ret->scope = in6->sin6_scope_id;
		return 0;
	}
	return -EAFNOSUPPORT;
}

int ip_describe(const struct spliced_row *row, const struct sockaddr *address, socklen_t len,
		char *text, size_t size)
{
	char number[INET6_ADDRSTRLEN], name[IF_NAMESIZE + 1] = "%";
	struct ip_peer peer;
	int n;

	(void)row;
	if (ip_read_peer(address, len, &peer) < 0)
		return -EAFNOSUPPORT;
	if (ip_is_mapped(peer.bytes)) {
		inet_ntop(AF_INET, peer.bytes + sizeof ip_mapped, number, sizeof number);
		n = snprintf(text, size, "%s:%u", number, ntohs(peer.port));
	} else {
		inet_ntop(AF_INET6, peer.bytes, number, sizeof number);
		if (!peer.scope)
			name[0] = '\0';
		else if (!if_indextoname(peer.scope, name + 1))
			snprintf(name, sizeof name, "%%%u", peer.scope);
		n = snprintf(text, size, "[%s%s]:%u", number, name, ntohs(peer.port));
	}
	return (size_t)n < size ? 0 : -ENOSPC;
}

/* 6 bytes of IPv4, else 22: address, port, and the scope, without which fe80::1 is ambiguous. */
int ip_peer_key(const struct spliced_options *options, const struct sockaddr *address,
		socklen_t len, void *key, size_t size)
{
	unsigned char *bytes = key;
	struct ip_peer peer;
	size_t skip, n;

	(void)options;
	if (ip_read_peer(address, len, &peer) < 0)
		return -EAFNOSUPPORT;
	skip = ip_is_mapped(peer.bytes) ? sizeof ip_mapped : 0;
	n = sizeof peer.bytes - skip + sizeof peer.port + (skip ? 0 : sizeof peer.scope);
	if (n > size)
		return -ENOSPC;
	memcpy(bytes, peer.bytes + skip, sizeof peer.bytes - skip);
	bytes += sizeof peer.bytes - skip;
	memcpy(bytes, &peer.port, sizeof peer.port);
	if (!skip)
		memcpy(bytes + sizeof peer.port, &peer.scope, sizeof peer.scope);
	return (int)n;
}
