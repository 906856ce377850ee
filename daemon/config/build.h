/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a config comes to be, from files or from a generation: start, check, finish. */
#pragma once

#include "config/check.h"

/* Makes an empty config and what its check needs. 0 or -ENOMEM; build_finish() follows in both
 * cases. */
int build_start(struct check *check, struct families *families, struct report *report);

/* Ends it: with r = 0 and without errors *ret is the config and 0 is returned; else nothing is
 * left, and r or -EINVAL. */
int build_finish(struct check *check, int r, struct config **ret);
