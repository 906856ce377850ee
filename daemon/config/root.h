/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The top level of a file: the groups daemon, defaults, lists, routes. */
#pragma once

#include <stdbool.h>

struct check;
struct setting;

/* Reads the daemon group, and then, unless daemon_only, all routes. root is one tree with all
 * files' routes. 0 or -ENOMEM. */
int root_read(struct check *check, struct setting *root, bool daemon_only);
