/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/sparse.h"

#include "base/assert.h"

#include <sys/mman.h>

void *sparse_new(size_t size)
{
	void *table = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert(size > 0);
	if (table == MAP_FAILED)
		return NULL;
	/* If the kernel gives huge pages to all mappings, one byte would cost 2 MiB, and each
	 * fork(2) 512 entries. */
	madvise(table, size, MADV_NOHUGEPAGE);
	return table;
}

void sparse_free(void *table, size_t size)
{
	if (table)
		munmap(table, size);
}
