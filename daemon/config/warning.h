/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is legal, and hardly meant. */
#pragma once

struct check;

/* Warns of it, once all routes have been found right. Enough memory is no matter: a warning may be
 * left out. */
void warning_check(struct check *check);
