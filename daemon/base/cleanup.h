/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Locals that clean up after themselves, by the cleanup attribute of gcc and clang. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup(function) __attribute__((cleanup(function)))

/* For pointers from malloc(3). */
static inline void cleanup_freep(void *pointer)
{
	free(*(void **)pointer);
}

/* For descriptors; negative ones are left alone. */
static inline void cleanup_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclosep(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define _free_ cleanup(cleanup_freep)
#define _close_ cleanup(cleanup_closep)
#define _fclose_ cleanup(cleanup_fclosep)
