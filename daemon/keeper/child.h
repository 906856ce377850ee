/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every child of the keeper does first, but for workers. */
#pragma once

#include <stddef.h>

/* It ends with its parent, does not react to the terminal, and closes at once what it inherited:
 * a copy of a client's socket would hold back a FIN. Kept are standard input, output and error,
 * and the n descriptors in keep, which is sorted on the way (-1 is skipped). */
void child_begin(int *keep, size_t n);
