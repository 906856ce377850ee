/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Extents. An unwritten page is a hole in the memfd, and reading it would allocate it. */
#include "ledger/extent.h"

#include "base/assert.h"

#include <unistd.h>

/* The end of the last written page of a section, or of the section if that is unknown. */
static uint64_t written_up_to(int fd, uint64_t from, uint64_t to)
{
	uint64_t last = from;
	off_t data, hole;

	for (uint64_t at = from; at < to; at = (uint64_t)hole) {
		data = lseek(fd, (off_t)at, SEEK_DATA);
		if (data < 0 || (uint64_t)data >= to)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole <= data)
			return to;
		last = (uint64_t)hole < to ? (uint64_t)hole : to;
	}
	return last;
}

uint32_t extent_used(int fd, const struct ledger_header *header, enum ledger_section_id id)
{
	const struct ledger_section *section = &header->sections[id];
	const char *records = (const char *)header + section->offset;
	uint64_t end = section->offset + (uint64_t)section->stride * section->count,
		 written = written_up_to(fd, section->offset, end);
	uint32_t count =
		(uint32_t)((written - section->offset + section->stride - 1) / section->stride);

	assert(id < LEDGER_SECTIONS);
	if (count > section->count)
		count = section->count;
	while (count &&
	       !*(const volatile uint32_t *)(records + (size_t)(count - 1) * section->stride))
		count--;
	return count;
}
