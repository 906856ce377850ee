/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pipes, through which streams are spliced, lent to a session only while its bytes are in flight.
 *
 * A pipe is one descriptor here: opened read-write through /proc/self/fd, it is both ends. A few
 * large ones carry bulk; the kernel grants an unprivileged user 64 MiB of them
 * (pipe-user-pages-soft, pipe(7)), and smaller ones after that. Each thread has its own.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	PIPES_LARGE_MAX = 8,
	PIPES_SPARE_MAX = 32,
	PIPE_LARGE_BYTES = 1 << 20,
	PIPE_SMALL_BYTES = 64 << 10,
	PIPE_SLOT_BYTES =
		4096, /* a pipe has a slot for each page; a slot holds one piece, however short */
};

struct pipes {
	int large[PIPES_LARGE_MAX], spare[PIPES_SPARE_MAX];
	uint32_t n_large, n_spare;
	uint32_t large_made, large_most; /* with those that are lent */
	uint32_t large_wanted;		 /* large_most, unless the kernel has refused one */
	uint32_t refused;		 /* pipes lent since then: sometimes it is tried again */
	_Atomic uint32_t pooled;	 /* n_large and n_spare, for other threads to see */
};

/* most: large pipes that this thread may make. */
void pipes_init(struct pipes *pipes, uint32_t most);
void pipes_done(struct pipes *pipes);

/* Lends an empty pipe of at least this many bytes (0: of any size): returns its descriptor, and its
 * size in *size. -EMFILE, -ENFILE, -ENOMEM; -EPERM: the kernel grants no pipe so large now. */
int pipe_lend(struct pipes *pipes, uint32_t at_least, uint32_t *size);

/* The same, but not from among the large ones: of 64 KiB, or of at_least bytes, or, where at_least
 * is 0, as small as the kernel grants now. */
int pipe_lend_small(struct pipes *pipes, uint32_t at_least, uint32_t *size);

/* Takes an empty pipe back, or closes it if there are enough spare ones. */
void pipe_return(struct pipes *pipes, int fd, uint32_t size);

/* Closes a pipe that still holds bytes. */
void pipe_discard(struct pipes *pipes, int fd, uint32_t size);

/* Copies up to at_most bytes of a pipe of that size, and leaves them in it. Returns their number;
 * -EMFILE or -ENOMEM: not now. */
ssize_t pipe_look(struct pipes *pipes, int fd, uint32_t size, uint8_t *bytes, size_t at_most);

/* A pipe that another worker lent out: bytes in it, and its size. Negative errno if it is not a
 * pipe. */
int pipe_adopt(struct pipes *pipes, int fd, uint32_t *size);
