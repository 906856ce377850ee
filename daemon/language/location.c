/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "language/location.h"

#include "base/arena.h"

#include <errno.h>
#include <stdio.h>

int location_add_file(struct location_files *files, struct arena *arena, const char *name,
		      uint32_t *ret)
{
	files->names = arena_grow(arena, files->names, files->n, sizeof(*files->names));
	if (!files->names)
		return -ENOMEM;
	files->names[files->n] = arena_copy_text(arena, name);
	if (!files->names[files->n])
		return -ENOMEM;
	*ret = files->n++;
	return 0;
}

const char *location_text(const struct location_files *files, struct location location, char *text,
			  size_t size)
{
	const char *file = location.file < files->n ? files->names[location.file] : "(nowhere)";

	if (location.line)
		snprintf(text, size, "%s:%u", file, location.line);
	else
		snprintf(text, size, "%s", file);
	return text;
}

uint64_t location_order(struct location location)
{
	return (uint64_t)location.file << 32 | location.line;
}
