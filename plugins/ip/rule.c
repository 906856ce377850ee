/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Allow and deny rules of inet and inet6. A rule of either kind is taken by both families: what a
 * PROXY header announces need not be of the listener's own. IPv4 in IPv6 dress is IPv4, in the rule
 * and in the peer.
 */
#include "ip/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A network: the first `bits` of 128, IPv4 mapped. */
struct ip_network {
	unsigned char bytes[16];
	unsigned char bits;
};

_Static_assert(sizeof(struct ip_network) <= sizeof(((struct spliced_rule *)0)->bytes),
	       "a network fits a rule");

/* How many bits of a byte are the network's. */
static unsigned bits_in(const struct ip_network *network, unsigned byte)
{
	if (network->bits <= byte * 8)
		return 0;
	return network->bits >= byte * 8 + 8 ? 8 : network->bits - byte * 8;
}

/* Clears the bits behind the prefix; returns whether any were set. */
static int clear_host_bits(struct ip_network *network)
{
	unsigned char keep, had = 0;

	for (unsigned i = 0; i < sizeof network->bytes; i++) {
		keep = (unsigned char)(0xff00 >> bits_in(network, i));
		had |= network->bytes[i] & (unsigned char)~keep;
		network->bytes[i] &= keep;
	}
	return had != 0;
}

static void network_text(const struct ip_network *network, char *text, socklen_t size)
{
	if (ip_is_mapped(network->bytes))
		inet_ntop(AF_INET, network->bytes + sizeof ip_mapped, text, size);
	else
		inet_ntop(AF_INET6, network->bytes, text, size);
}

/* The address of a rule. Bits: of the whole address, 32 or 128. */
static int rule_address(const char *rule_text, const char *address, struct ip_network *ret,
			unsigned *bits, char *text, size_t size)
{
	memcpy(ret->bytes, ip_mapped, sizeof ip_mapped);
	*bits = 32;
	if (inet_pton(AF_INET, address, ret->bytes + sizeof ip_mapped) == 1)
		return 0;
	*bits = 128;
	if (inet_pton(AF_INET6, address, ret->bytes) == 1)
		return 0;
	if (strchr(address, '%') && strchr(address, ':'))
		snprintf(text, size, "\"%s\": a rule cannot contain an interface", rule_text);
	else if (*address && !address[strspn(address, "0123456789.")])
		snprintf(text, size,
			 "\"%s\" is not an IPv4 address: it must be four numbers from 0 to 255",
			 rule_text);
	return -EINVAL;
}

int ip_rule(const char *rule_text, struct spliced_rule *rule, char *text, size_t size)
{
	char address[INET6_ADDRSTRLEN + IF_NAMESIZE + 1] = "";
	char number[INET6_ADDRSTRLEN], network[INET6_ADDRSTRLEN];
	const char *slash = strchr(rule_text, '/');
	size_t len = slash ? (size_t)(slash - rule_text) : strlen(rule_text);
	struct ip_network ret = {0};
	unsigned long prefix;
	unsigned bits;
	char *end;

	if (size)
		text[0] = '\0';
	if (len >= sizeof address)
		return -EINVAL;
	memcpy(address, rule_text, len);
	if (rule_address(rule_text, address, &ret, &bits, text, size) < 0)
		return -EINVAL;
	prefix = slash ? strtoul(slash + 1, &end, 10) : bits;
	if (slash && (slash[1] < '0' || slash[1] > '9' || *end || prefix > bits)) {
		snprintf(text, size,
			 "\"%s\": the prefix length of an IPv%c address must be 0 to %u", rule_text,
			 bits == 32 ? '4' : '6', bits);
		return -EINVAL;
	}
	if (bits == 128 && ip_is_mapped(ret.bytes) && prefix >= 96) {
		bits = 32;
		prefix -= 96;
	}
	ret.bits = (unsigned char)(prefix + 128 - bits);
	network_text(&ret, number, sizeof number);
	if (clear_host_bits(&ret)) {
		network_text(&ret, network, sizeof network);
		snprintf(text, size,
			 "\"%s\" has bits set after its prefix: write \"%s/%lu\" for the network, "
			 "or \"%s\" for one address",
			 rule_text, network, prefix, number);
		return -EINVAL;
	}
	memset(rule->bytes, 0, sizeof rule->bytes);
	memcpy(rule->bytes, &ret, sizeof ret);
	return 0;
}

int ip_match(const struct spliced_rule *rule, const struct sockaddr *address, socklen_t len)
{
	struct ip_network network, peer_network;
	struct ip_peer peer;
	int is_inet;

	if (ip_read_peer(address, len, &peer) < 0)
		return 0;
	memcpy(&network, rule->bytes, sizeof network);
	is_inet = ip_is_mapped(peer.bytes);
	/* ::/0 is every IPv6 address, and no IPv4 one. */
	if (is_inet != (network.bits >= 96 && ip_is_mapped(network.bytes)))
		return 0;
	memcpy(peer_network.bytes, peer.bytes, sizeof peer.bytes);
	peer_network.bits = network.bits;
	clear_host_bits(&peer_network);
	if (memcmp(peer_network.bytes, network.bytes, sizeof network.bytes) != 0)
		return 0;
	return network.bits - (is_inet ? 96 : 0) + 1;
}
