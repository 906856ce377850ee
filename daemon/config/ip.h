/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `ip` is not a family but a name for two: such an endpoint is on IPv6 and on IPv4. */
#pragma once

#include <stdbool.h>

struct arena;
struct config_endpoint;
struct setting;

#define IP_NAME "ip"
#define IP_SUMMARY "inet6 and inet together"
enum { IP_FAMILIES = 2 };

/* In the order of config_endpoint.legs. */
extern const char *const ip_families[IP_FAMILIES];

bool ip_is_name(const char *name);

/* The families that a name means, `ip` or a family's, into *ret. How many. */
unsigned ip_expand(const char *const *name, const char *const **ret);

/* Where the host of two legs is a number, keeps the leg that it fits. The other's own options are
 * then out of place. 0 or -ENOMEM. */
int ip_keep_fitting(struct arena *scratch, const struct setting *group,
		    struct config_endpoint *endpoint);

/* Whether both legs have an address of their own: then each becomes an endpoint, because one
 * setting cannot hold both. */
bool ip_is_divided(const struct config_endpoint *endpoint);
/* The endpoint with this leg alone. */
struct config_endpoint ip_divide(const struct config_endpoint *endpoint, unsigned leg);
