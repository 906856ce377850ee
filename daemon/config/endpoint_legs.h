/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One family's share of an endpoint: from a group of settings to options and an address. */
#pragma once

struct check;
struct config_endpoint;
struct config_route;
struct setting;

/* Reads the options of all legs from the group, which loses what it has of theirs, and makes their
 * addresses. Errors are reported. 0 or -ENOMEM. */
int endpoint_legs_read(struct check *check, struct config_route *route, struct setting *group,
		       struct config_endpoint *endpoint);
