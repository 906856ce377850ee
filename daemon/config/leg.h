/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One family's share of an endpoint: from a group of settings to options and an address. */
#pragma once

#include "config/config.h"

struct check;
struct node;

/* Loads the family of the group, or the two of `ip`, and finds their rows by type and protocol:
 * family and row of *legs, *n_legs of them; 0 legs, with why reported, if there are none. 0 or
 * -ENOMEM. */
int leg_choose(struct check *check, struct node *group, struct config_endpoint *endpoint);

/* Reads the options of all legs from the group, which loses what it has of theirs, and makes their
 * addresses. Errors are reported. 0 or -ENOMEM. */
int leg_read_all(struct check *check, struct config_route *route, struct node *group,
		 struct config_endpoint *endpoint);

/* Asks the family of a leg, whose route is well, what it takes of the system and whether it has a companion. */
void leg_ask(struct check *check, const struct config_endpoint *endpoint, struct config_leg *leg);

/* Does an option apply to that row and role? */
bool leg_takes(const struct family *family, const struct spliced_row *row, enum spliced_role role,
	       const struct spliced_option *option);

/* "target", "listening endpoint", "dialled endpoint". */
const char *leg_role_noun(const struct config_endpoint *endpoint);

/* An option of the family, or NULL. */
const struct spliced_option *leg_find_option(const struct family *family, const char *name);
