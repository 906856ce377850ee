/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of a configuration: of a file, or of standard input or a pipe that a shell opened,
 * which can be read only once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct arena;

/* How what is read once is called where it is told. */
#define INPUT_NAME "standard input"

/* Is this path no file, but what can be read once: "-", standard input, or /dev/fd/N that is a
 * pipe? It is read at the first input_read(), to its end, and kept for others of this process and
 * its children. */
bool input_is_read_once(const char *path);

/* Reads a file to its end, into the arena; what is read once, whether or not the descriptor blocks,
 * is closed then, but for standard input. 0, -ENOMEM, -EFBIG above max bytes, -ESPIPE: a FIFO or a
 * socket, or what open(2) and read(2) said. */
int input_read(struct arena *arena, const char *path, size_t max, const char **ret,
	       size_t *ret_len);
