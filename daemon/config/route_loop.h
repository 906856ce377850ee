/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

struct check;

/* Reports routes whose targets lead back to them. 0 or -ENOMEM. */
int route_loop_check(struct check *check);
