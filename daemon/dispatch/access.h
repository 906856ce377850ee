/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Access control: `allow` and `deny` of a route. */
#pragma once

#include <stdbool.h>

struct address;
struct config_leg;
struct config_route;
struct config_rule;

/* Whether the peer of an accepted socket is accepted: the most specific rule that matches
 * decides, deny on a tie; if the route has `allow`, a peer that matches no rule is refused.
 * *refused_by: the rule of `deny` that decided; NULL where none did. */
bool access_allowed(const struct config_route *route, const struct config_leg *leg, int fd,
		    const struct address *peer, const struct config_rule **refused_by);
