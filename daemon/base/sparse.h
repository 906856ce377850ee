/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Large tables that are mostly never touched: zeros, of which only the written pages use memory.
 *
 * Mapped, not calloc'ed: after a large block was freed once, calloc(3) takes the next one from the
 * heap and clears all of it; and each free(3) of a large block raises the size from which malloc(3)
 * maps, so that this then happens to all other blocks as well.
 */
#pragma once

#include <stddef.h>

/* NULL: no memory. */
void *sparse_new(size_t size);
void sparse_free(void *table, size_t size);
