/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One end of a route, checked. */
#pragma once

#include "config/config.h"

struct check;
struct setting;

/* Reads the value of a key ("listen", "dial", "target"), an endpoint or a list of them, into
 * *endpoints (owned by the config). Errors are reported, also for a value of another type, and such
 * endpoints are left out; *well: there were none. 0 or -ENOMEM. */
int endpoint_read_list(struct check *check, struct config_route *route, const char *key,
		       struct setting *setting, struct config_endpoint **endpoints,
		       unsigned *n_endpoints, bool *well);
