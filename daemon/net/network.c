/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Families only say where in a sockaddr the address is. Every kind of address is compared in the
 * same form: bytes, the most significant first.
 */
#include "net/network.h"

#include "base/text.h"
#include "net/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What IPv4 addresses in IPv6 dress begin with. */
static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
enum { MAPPED_BITS = sizeof mapped * 8 };

_Static_assert(sizeof mapped + sizeof(struct in_addr) == NETWORK_BYTES_MAX, "IPv4 is mapped");

static bool is_mapped(const unsigned char *bytes)
{
	return memcmp(bytes, mapped, sizeof mapped) == 0;
}

static bool is_ip(const struct spliced_row *row)
{
	return row->peer_kind == SPLICED_PEER_IP ||
	       (row->peer_kind == SPLICED_PEER_UNSET &&
		(row->domain == AF_INET || row->domain == AF_INET6));
}

static uint8_t kind_of(const struct spliced_row *row)
{
	return is_ip(row) ? SPLICED_PEER_IP : (uint8_t)row->peer_kind;
}

bool network_is_known(const struct spliced_row *row)
{
	return is_ip(row) || (row->peer_kind != SPLICED_PEER_UNSET && row->peer_len);
}

/* ---- rules ---- */

/* How many bits of a byte count. */
static unsigned bits_in(const struct network *network, unsigned byte)
{
	if (network->bits <= byte * 8)
		return 0;
	return network->bits >= byte * 8 + 8 ? 8 : network->bits - byte * 8;
}

/* Clears the bits behind the prefix; returns whether any were set. */
static bool clear_host_bits(struct network *network)
{
	unsigned char keep, had = 0;

	for (unsigned i = 0; i < network->len; i++) {
		keep = (unsigned char)(0xff00 >> bits_in(network, i));
		had |= network->bytes[i] & (unsigned char)~keep;
		network->bytes[i] &= keep;
	}
	return had != 0;
}

enum { NETWORK_TEXT_MAX = INET6_ADDRSTRLEN + NETWORK_BYTES_MAX };

static const char *network_text(const struct network *network, char text[NETWORK_TEXT_MAX])
{
	if (network->kind == SPLICED_PEER_IP && is_mapped(network->bytes))
		inet_ntop(AF_INET, network->bytes + sizeof mapped, text, NETWORK_TEXT_MAX);
	else if (network->kind == SPLICED_PEER_IP)
		inet_ntop(AF_INET6, network->bytes, text, NETWORK_TEXT_MAX);
	else
		for (unsigned i = 0; i < network->len; i++)
			sprintf(text + i * 3, i + 1 < network->len ? "%02X:" : "%02X",
				network->bytes[i]);
	return text;
}

/* *bits: of the whole address, 32 or 128. */
static int read_ip(const char *rule, const char *address, struct network *ret, unsigned *bits,
		   char *why, size_t size)
{
	ret->len = sizeof ret->bytes;
	memcpy(ret->bytes, mapped, sizeof mapped);
	*bits = 32;
	if (inet_pton(AF_INET, address, ret->bytes + sizeof mapped) == 1)
		return 0;
	*bits = 128;
	if (inet_pton(AF_INET6, address, ret->bytes) == 1)
		return 0;
	if (strchr(address, '%') && strchr(address, ':'))
		snprintf(why, size, "\"%s\": a rule cannot contain an interface", rule);
	else if (*address && !address[strspn(address, "0123456789.")])
		snprintf(why, size,
			 "\"%s\" is not an IPv4 address: it must be four numbers from 0 to 255",
			 rule);
	return -EINVAL;
}

/* Pairs of hexadecimal digits, with colons between them. */
static int read_bytes(const char *rule, const char *address, struct network *ret, unsigned *bits,
		      char *why, size_t size)
{
	static const char example[] = "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";
	const char *at = address;
	unsigned i = 0;

	*bits = ret->len * 8U;
	for (; i < ret->len && isxdigit((unsigned char)at[0]) && isxdigit((unsigned char)at[1]) &&
	       at[2] == (i + 1 < ret->len ? ':' : '\0');
	     i++, at += 3)
		ret->bytes[i] = (uint8_t)strtoul(at, NULL, 16);
	if (i == ret->len)
		return 0;
	if (strchr(address, ':') && !address[strspn(address, ":0123456789abcdefABCDEF")])
		snprintf(why, size,
			 "\"%s\": an address here has %u bytes in hexadecimal, such as \"%.*s\"",
			 rule, ret->len, ret->len * 3 - 1, example);
	return -EINVAL;
}

/* A number takes no prefix. */
static int read_number(const char *rule, const char *address, struct network *ret, unsigned *bits,
		       char *why, size_t size)
{
	int64_t highest, number;

	*bits = ret->len * 8U;
	highest = *bits > 32 ? INT64_MAX : (INT64_C(1) << *bits) - 1;
	if (text_parse_number(address, &number) < 0)
		return -EINVAL;
	if (number < 0 || number > highest) {
		snprintf(why, size, "\"%s\": an address here is a number from 0 to %lld", rule,
			 (long long)highest);
		return -EINVAL;
	}
	for (unsigned i = 0; i < ret->len; i++)
		ret->bytes[i] = (uint8_t)(number >> (ret->len - 1 - i) * 8);
	return 0;
}

static int read_address(const char *rule, const char *address, struct network *ret, unsigned *bits,
			char *why, size_t size)
{
	switch (ret->kind) {
	case SPLICED_PEER_IP:
		return read_ip(rule, address, ret, bits, why, size);
	case SPLICED_PEER_BYTES:
	case SPLICED_PEER_REVERSED:
		return read_bytes(rule, address, ret, bits, why, size);
	case SPLICED_PEER_NUMBER:
		return read_number(rule, address, ret, bits, why, size);
	}
	return -EINVAL;
}

/* The number after the slash. bits: of the whole address. */
static int read_prefix(const char *rule, const char *slash, const struct network *network,
		       unsigned bits, unsigned long *prefix, char *why, size_t size)
{
	const char *of = network->kind != SPLICED_PEER_IP ? "such an"
			 : bits == 32			  ? "an IPv4"
							  : "an IPv6";
	char *end;

	*prefix = strtoul(slash + 1, &end, 10);
	if (isdigit((unsigned char)slash[1]) && !*end && *prefix <= bits)
		return 0;
	snprintf(why, size, "\"%s\": the prefix length of %s address must be 0 to %u", rule, of,
		 bits);
	return -EINVAL;
}

static int refuse_host_bits(const char *rule, const struct network *network, const char *number,
			    unsigned long prefix, char *why, size_t size)
{
	char text[NETWORK_TEXT_MAX];

	snprintf(why, size,
		 "\"%s\" has bits set after its prefix: write \"%s/%lu\" for the network, or "
		 "\"%s\" for one address",
		 rule, network_text(network, text), prefix, number);
	return -EINVAL;
}

int network_parse(const struct spliced_row *row, const char *rule, struct network *ret, char *why,
		  size_t size)
{
	const char *slash = strchr(rule, '/');
	size_t len = slash ? (size_t)(slash - rule) : strlen(rule);
	char address[NETWORK_TEXT_MAX] = "", number[NETWORK_TEXT_MAX];
	unsigned long prefix;
	unsigned bits;

	*why = '\0';
	*ret = (struct network){.kind = kind_of(row), .len = (uint8_t)row->peer_len};
	if (!network_is_known(row) || len >= sizeof address ||
	    (slash && ret->kind == SPLICED_PEER_NUMBER))
		return -EINVAL;
	memcpy(address, rule, len);
	if (read_address(rule, address, ret, &bits, why, size) < 0)
		return -EINVAL;
	prefix = bits;
	if (slash && read_prefix(rule, slash, ret, bits, &prefix, why, size) < 0)
		return -EINVAL;
	if (ret->kind == SPLICED_PEER_IP && bits == 128 && is_mapped(ret->bytes) &&
	    prefix >= MAPPED_BITS) {
		bits = 32;
		prefix -= MAPPED_BITS;
	}
	ret->bits = (uint8_t)(prefix + ret->len * 8U - bits);
	network_text(ret, number);
	return clear_host_bits(ret) ? refuse_host_bits(rule, ret, number, prefix, why, size) : 0;
}

/* ---- peers ---- */

/* An address of IP as it is in the usual structs, else where the row says. */
static int read_ip_peer(const struct spliced_row *row, const struct address *peer,
			struct network *ret)
{
	const unsigned char *bytes = (const unsigned char *)&peer->storage;
	size_t offset = row->peer_offset, len = row->peer_len;

	if (peer->storage.ss_family == AF_INET) {
		offset = offsetof(struct sockaddr_in, sin_addr);
		len = sizeof(struct in_addr);
	} else if (peer->storage.ss_family == AF_INET6) {
		offset = offsetof(struct sockaddr_in6, sin6_addr);
		len = sizeof(struct in6_addr);
	}
	if (!len || peer->len < offset + len)
		return -EAFNOSUPPORT;
	ret->len = sizeof ret->bytes;
	memcpy(ret->bytes, mapped, sizeof mapped);
	memcpy(ret->bytes + sizeof ret->bytes - len, bytes + offset, len);
	return 0;
}

static bool is_backwards(uint8_t kind)
{
	return kind == SPLICED_PEER_REVERSED ||
	       (kind == SPLICED_PEER_NUMBER && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
}

static int read_peer(const struct spliced_row *row, const struct address *peer, struct network *ret)
{
	const unsigned char *bytes = (const unsigned char *)&peer->storage + row->peer_offset;

	ret->kind = kind_of(row);
	if (ret->kind == SPLICED_PEER_IP)
		return read_ip_peer(row, peer, ret);
	ret->len = (uint8_t)row->peer_len;
	if (peer->len < row->peer_offset + (size_t)row->peer_len)
		return -EAFNOSUPPORT;
	for (unsigned i = 0; i < ret->len; i++)
		ret->bytes[i] = bytes[is_backwards(ret->kind) ? ret->len - 1U - i : i];
	return 0;
}

int network_match(const struct network *network, const struct spliced_row *row,
		  const struct address *peer)
{
	struct network own = {0};
	bool is_inet;

	if (read_peer(row, peer, &own) < 0 || own.kind != network->kind || own.len != network->len)
		return 0;
	is_inet = own.kind == SPLICED_PEER_IP && is_mapped(own.bytes);
	/* ::/0 is every IPv6 address, and no IPv4 one. */
	if (own.kind == SPLICED_PEER_IP &&
	    is_inet != (network->bits >= MAPPED_BITS && is_mapped(network->bytes)))
		return 0;
	own.bits = network->bits;
	clear_host_bits(&own);
	if (memcmp(own.bytes, network->bytes, network->len) != 0)
		return 0;
	return network->bits - (is_inet ? MAPPED_BITS : 0) + 1;
}
