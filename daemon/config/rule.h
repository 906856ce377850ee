/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words of allow and deny. */
#pragma once

#include "config/config.h"

struct check;
struct setting;

/* Reads a list of rules for the route, whose listening endpoints were read before; without any,
 * every rule is accepted. 0 or -ENOMEM. */
int rule_read_list(struct check *check, struct config_route *route, const char *key,
		   const struct setting *setting, struct config_rule **rules, unsigned *n_rules);

/* Checks that the group `lists` holds lists of strings only, so that they can be used. */
void rule_check_lists(struct check *check, const struct setting *lists);
