/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys that stand in a group which has no use for them, and where they belong. */
#pragma once

#include <stdbool.h>

struct check;
struct setting;

enum stray_in { STRAY_IN_FILE, STRAY_IN_DAEMON, STRAY_IN_DEFAULTS, STRAY_IN_ROUTE };

/* Reports those keys of the group that were not read and that belong elsewhere, and marks them as
 * seen. */
void stray_report(struct check *check, struct setting *group, enum stray_in in);

/* Whether this is a route outside of `routes`. */
bool stray_is_route(const struct setting *setting);
