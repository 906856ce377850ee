/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

struct check;

/* Reports routes that listen where another one does. 0 or -ENOMEM. */
int conflict_check(struct check *check);
