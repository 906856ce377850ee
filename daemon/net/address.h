/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A socket address of any family, and its text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct family;
struct spliced_options;
struct spliced_row;

struct address {
	socklen_t len; /* bytes used of storage; 0: no address */
	struct sockaddr_storage storage;
};

enum { ADDRESS_TEXT_MAX = 160 };

static inline struct sockaddr *address_sockaddr(struct address *address)
{
	return (struct sockaddr *)&address->storage;
}

static inline const struct sockaddr *address_sockaddr_const(const struct address *address)
{
	return (const struct sockaddr *)&address->storage;
}

/* Whether it is a multicast address of inet or inet6. */
bool address_is_multicast(const struct address *address);

/* Whether two addresses of inet or inet6 have the same host, whatever the port; the same host and
 * port, whatever the flow label. */
bool address_is_same_host(const struct address *a, const struct address *b);
bool address_is_same(const struct address *a, const struct address *b);

/* Of inet, inet6 and vsock; others have none. */
void address_set_port(struct address *address, uint16_t port);

bool address_equal(const struct address *a, const struct address *b);

/* Writes the address as the family's config text, NUL-terminated, into text (at least
 * ADDRESS_TEXT_MAX bytes); "?" where the family cannot tell. Returns text. */
const char *address_describe(const struct family *family, const struct spliced_row *row,
			     const struct address *address, char *text, size_t size);

/* The address that the family makes of these options. With host not NULL, option number host_option
 * is taken to have resolved to these host_len bytes and this scope (see struct spliced_value). 0,
 * or the plugin's negative errno. */
int address_from_options(const struct family *family, const struct spliced_options *options,
			 int host_option, const void *host, size_t host_len, unsigned scope,
			 struct address *ret);
