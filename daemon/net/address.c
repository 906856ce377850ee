/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses of any family: bytes and a length, which only the family can interpret. They are
 * compared byte by byte; whether two are of the same peer is decided by the family's peer_key().
 */
#include "net/address.h"

#include "base/assert.h"
#include "net/callback.h"
#include "net/family.h"

#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

bool address_is_multicast(const struct address *address)
{
	const void *storage = &address->storage;

	switch (address->storage.ss_family) {
	case AF_INET:
		return IN_MULTICAST(ntohl(((const struct sockaddr_in *)storage)->sin_addr.s_addr));
	case AF_INET6:
		return IN6_IS_ADDR_MULTICAST(&((const struct sockaddr_in6 *)storage)->sin6_addr);
	}
	return false;
}

bool address_is_same_host(const struct address *a, const struct address *b)
{
	const void *one = &a->storage, *other = &b->storage;
	const struct sockaddr_in6 *in6 = one, *other6 = other;

	if (a->storage.ss_family != b->storage.ss_family)
		return false;
	switch (a->storage.ss_family) {
	case AF_INET:
		return ((const struct sockaddr_in *)one)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)other)->sin_addr.s_addr;
	case AF_INET6:
		return IN6_ARE_ADDR_EQUAL(&in6->sin6_addr, &other6->sin6_addr) &&
		       (!in6->sin6_scope_id || !other6->sin6_scope_id ||
			in6->sin6_scope_id == other6->sin6_scope_id);
	}
	return address_equal(a, b);
}

/* Both have the port in the same place. */
bool address_is_same(const struct address *a, const struct address *b)
{
	return address_is_same_host(a, b) &&
	       ((const struct sockaddr_in *)(const void *)&a->storage)->sin_port ==
		       ((const struct sockaddr_in *)(const void *)&b->storage)->sin_port;
}

bool address_equal(const struct address *a, const struct address *b)
{
	assert(a->len <= sizeof a->storage && b->len <= sizeof b->storage);
	return a->len == b->len && !memcmp(&a->storage, &b->storage, a->len);
}

const char *address_describe(const struct family *family, const struct spliced_row *row,
			     const struct address *address, char *text, size_t size)
{
	const struct sockaddr *bytes = address_sockaddr_const(address);

	assert(size > 0 && address->len <= sizeof address->storage);
	if (!address->len ||
	    CALLBACK(family, describe,
		     family->plugin.describe(row, bytes, address->len, text, size)) < 0)
		snprintf(text, size, "?");
	return text;
}

void address_set_port(struct address *address, uint16_t port)
{
	switch (address->storage.ss_family) {
	case AF_INET:
		((struct sockaddr_in *)&address->storage)->sin_port = htons(port);
		break;
	case AF_INET6:
		((struct sockaddr_in6 *)&address->storage)->sin6_port = htons(port);
		break;
	case AF_VSOCK:
		((struct sockaddr_vm *)&address->storage)->svm_port = port;
		break;
	}
}

int address_from_options(const struct family *family, const struct spliced_options *options,
			 int host_option, const void *host, size_t host_len, unsigned scope,
			 struct address *ret)
{
	struct spliced_value values[FAMILY_OPTIONS_MAX];
	struct spliced_options resolved = *options;

	memset(ret, 0, sizeof *ret);
	if (!host || host_option < 0)
		return (int)CALLBACK(family, address,
				     family->plugin.address(options, &ret->storage, &ret->len));
	/* A copy: other threads resolve the same options to other addresses. */
	assert(options->n_values <= FAMILY_OPTIONS_MAX &&
	       (uint32_t)host_option < options->n_values);
	for (uint32_t i = 0; i < options->n_values; i++)
		values[i] = *spliced_value(options, i);
	values[host_option].host = host;
	values[host_option].host_len = (uint32_t)host_len;
	values[host_option].host_scope = scope;
	resolved.values = values;
	resolved.value_stride = sizeof *values;
	return (int)CALLBACK(family, address,
			     family->plugin.address(&resolved, &ret->storage, &ret->len));
}
