/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

struct check;
struct config_endpoint;
struct setting;

/* Loads the family of the group, or the two of `ip`, and finds their rows by type and protocol:
 * family and row of the endpoint's legs, and how many; 0 legs, with why reported, if there are
 * none. 0 or -ENOMEM. */
int row_choose(struct check *check, struct setting *group, struct config_endpoint *endpoint);
