/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A route, checked; and what `defaults` gives to routes that do not set it themselves. */
#pragma once

#include "config/config.h"

struct check;
struct setting;

struct route_defaults {
	struct config_value values[ROUTE_OPTIONS];
	const struct setting *allow, *deny; /* or NULL */
};

/* Reads the group `defaults`. 0 or -ENOMEM. */
int route_read_defaults(struct check *check, struct setting *group,
			struct route_defaults *defaults);

/* Reads a route from its setting. 0 or -ENOMEM. */
int route_read(struct check *check, struct setting *setting, const struct route_defaults *defaults,
	       struct config_route *route);
