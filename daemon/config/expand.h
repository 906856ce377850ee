/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Targets whose name stands for a pool: each of its addresses is a member. As the addresses are not
 * known when a file is read, and change, such a target has CONFIG_PLACES places in the pool,
 * NAME#1, NAME#2 and so on, which the resolver gives to addresses (dispatch/places.h). The name of
 * a service always is such a pool: its SRV records have the ports, priorities and weights.
 */
#pragma once

#include <stdbool.h>

struct check;
struct config_endpoint;
struct config_route;

/* Whether a host's text is the name of a service, "_SERVICE._PROTOCOL.NAME": RFC 2782. */
bool expand_is_service(const char *host);

/* Refuses `expand` where there is no name to be looked up, and beside what a place cannot have. */
void expand_check(struct check *check, const struct config_endpoint *endpoint);

/* Puts the places into the route's list of targets. 0 or -ENOMEM. */
int expand_route(struct check *check, struct config_route *route);
