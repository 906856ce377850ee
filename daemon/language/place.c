/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "language/place.h"

#include "base/arena.h"

#include <errno.h>
#include <stdio.h>

int place_add_file(struct place_files *files, struct arena *arena, const char *name, uint32_t *ret)
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

const char *place_text(const struct place_files *files, struct place place, char *text, size_t size)
{
	const char *file = place.file < files->n ? files->names[place.file] : "(nowhere)";

	if (place.line)
		snprintf(text, size, "%s:%u", file, place.line);
	else
		snprintf(text, size, "%s", file);
	return text;
}

uint64_t place_order(struct place place)
{
	return (uint64_t)place.file << 32 | place.line;
}
