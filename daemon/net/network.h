/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Allow and deny rules by address, for every row that says where a peer's address is: all peers
 * whose first bits are these. A rule of IPv4 or IPv6 is meant for peers of both: IPv4 in IPv6 dress
 * is IPv4, in the rule and in the peer.
 */
#pragma once

#include <spliced/plugin.h>
#include <stdbool.h>
#include <stddef.h>

struct address;

enum { NETWORK_BYTES_MAX = 16 };

struct network {
	uint8_t kind; /* enum spliced_peer */
	uint8_t len;  /* bytes of an address; IP: 16, IPv4 mapped */
	uint8_t bits; /* that count, from the first */
	uint8_t bytes[NETWORK_BYTES_MAX];
};

/* Whether peers of the row have addresses that rules can name. */
bool network_is_known(const struct spliced_row *row);

/* Reads a rule, "10.0.0.0/8", for peers of the row. 0, or -EINVAL; then why says what is wrong
 * where it was nearly a rule, else it is empty. */
int network_parse(const struct spliced_row *row, const char *rule, struct network *ret, char *why,
		  size_t size);

/* 0: the peer does not match; above: it does, and the higher the more specific. */
int network_match(const struct network *network, const struct spliced_row *row,
		  const struct address *peer);
