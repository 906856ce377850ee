/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The two ends of a route, together: whether and how what comes from one can go to the other. */
#pragma once

struct check;
struct config_route;

/* Reports pairs of ends that cannot be joined as they are described, and settings that the route's
 * pairs have no use for. Unsets such a setting where it only came from `defaults`. */
void pair_check(struct check *check, struct config_route *route);
