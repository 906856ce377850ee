/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One end of a route, checked. */
#pragma once

#include "config/config.h"

struct check;
struct node;

/* Reads an endpoint, a list of them, or what else stands there, into *endpoints (owned by the
 * config). Those with errors, which are reported, are left out; *well tells whether there were
 * none. 0 or -ENOMEM. */
int endpoint_read_list(struct check *check, const struct config_route *route, struct node *node,
		       enum spliced_role role, struct config_endpoint **endpoints,
		       unsigned *n_endpoints, bool *well);
