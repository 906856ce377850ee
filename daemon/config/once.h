/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A configuration that can be read only once: from standard input, or from a pipe that a shell opened. */
#pragma once

#include <stddef.h>

/* How such a file is called where it is told. */
#define ONCE_NAME "standard input"

/* Its text, read to its end at the first call, whether or not the descriptor blocks, and then closed, but for standard input; kept for this
 * process and those that it forks. 0, -EFBIG above max bytes, or what read(2) said. */
int once_read(const char *path, size_t max, const char **ret, size_t *ret_len);
