/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ports of inet and inet6 that are more than a number: a range, "4000-4999", which is as many
 * listeners, each with a port of its own; and a target's "+N", whose port is the one that the
 * client arrived at plus N (dispatch/arrival.h). After this room nothing knows of ranges.
 */
#pragma once

#include <stdbool.h>

struct check;
struct config_endpoint;
struct config_leg;
struct config_route;
struct config_value;
struct setting;
struct spliced_option;

/* What is left of a range. */
struct port_range {
	struct setting *setting; /* with the port that is next; NULL: there is no range */
	unsigned last;
};

/* Begins the range of a listener's group, whose setting then has the first port; false, reported,
 * where it is wrong. Then the next one, false after the last. */
bool port_begin(struct check *check, const struct config_endpoint *endpoint, struct setting *group,
		struct port_range *ret);
bool port_next(struct port_range *range);

/* Whether a setting is "+N" in place of a port; and its value, reported where it is wrong. 0 or
 * -ENOMEM. */
bool port_is_relative(const struct config_leg *leg, const struct spliced_option *option,
		      const struct setting *setting);
int port_read_relative(struct check *check, const struct config_endpoint *endpoint, const char *key,
		       const struct setting *setting, struct config_value *value);

/* Copies the ports for the data path. */
void port_settle(struct config_endpoint *endpoint);

/* Reports each target with "+N" that has no port for a client of one of the route's listeners. */
void port_check(struct check *check, const struct config_route *route);
