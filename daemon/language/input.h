/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of a configuration: of a file, or of standard input or a pipe that a shell opened,
 * which can be read only once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct arena;

/* The name in messages of an input that can be read only once. */
#define INPUT_NAME "standard input"

/* Whether this path is an input that can be read only once: "-", standard input, or /dev/fd/N that
 * is a pipe. The first input_read() reads it to its end and keeps it for later calls in this
 * process and its children. */
bool input_is_read_once(const char *path);

/* Reads a file to its end, into the arena. An input that can be read only once may be non-blocking,
 * and is closed then, except standard input. 0, -ENOMEM, -EFBIG above max bytes, -ESPIPE: a FIFO or
 * a socket, or the error of open(2) or read(2). */
int input_read(struct arena *arena, const char *path, size_t max, const char **ret,
	       size_t *ret_len);
