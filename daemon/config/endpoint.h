/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One end of a route, checked. */
#pragma once

#include "config/config.h"

struct check;
struct setting;

/* Reads what stands under a key ("listen", "dial", "target"): an endpoint, a list of them, or
 * whatever else, into *endpoints (owned by the config). Those with errors, which are reported, are
 * left out; *well tells whether there were none. 0 or -ENOMEM. */
int endpoint_read_list(struct check *check, struct config_route *route, const char *key,
		       struct setting *setting, struct config_endpoint **endpoints,
		       unsigned *n_endpoints, bool *well);
