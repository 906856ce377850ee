/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of the daemon's own, in the same tables as a family's options: they drive parsing,
 * errors, printing, the manual. */
#pragma once

#include "config/config.h"
#include "language/reader.h"

/* Names with a dot stand in a sub-group: "log.level". */
extern const struct spliced_option schema_daemon[DAEMON_OPTIONS];
extern const struct spliced_option schema_route[ROUTE_OPTIONS];
extern const struct spliced_option schema_endpoint[ENDPOINT_OPTIONS];

/* The same for errors of syntax. */
extern const struct reader_keys schema_reader_keys;

/* Keys beside those tables, NULL-terminated. */
extern const char *const schema_root_keys[];	 /* of a file */
extern const char *const schema_route_keys[];	 /* endpoints and rules */
extern const char *const schema_defaults_keys[]; /* rules */
extern const char *const schema_endpoint_keys[]; /* family, type, protocol */

/* Endpoint strings' everyday schemes that are no family's name, and where to find them. */
struct schema_scheme {
	const char *scheme;
	const char *family;
	int type; /* SOCK_STREAM, ...; -1: the type of the family's row of that scheme */
};
extern const struct schema_scheme schema_schemes[]; /* ends with scheme NULL */

/* The families that this project has, installed or not; NULL-terminated. */
extern const char *const schema_families[];

/* "target", "listening endpoint", "dialled endpoint": what stands under a key of endpoints. */
const char *schema_endpoint_noun(const char *key);
