/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables that are large and mostly never touched: zeros, of which only the pages that are written
 * to cost anything.
 *
 * Mapped, not calloc'ed: malloc(3) gives a block that was freed once from its heap the next time,
 * and clears all of it; and it raises the size from which it maps at each large block that it
 * frees, so that this then happens to all others as well.
 */
#pragma once

#include <stddef.h>

/* NULL: no memory. */
void *sparse_new(size_t size);
void sparse_free(void *table, size_t size);
