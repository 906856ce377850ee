/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A target's place in its pool: who gets how many of the new sessions, and when one is down. */
#pragma once

struct check;
struct config_endpoint;
struct config_route;

/* Refuses settings of targets at other endpoints. */
void member_check(struct check *check, const struct config_endpoint *endpoint);

/* Copies the values of the route's targets and dials into their struct config_member; those not set
 * are inherited from the route. */
void member_settle(struct config_route *route);
