/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process stays in its user namespace, and the map is written once: what is read at the start
 * stays true, also for forked workers. A kernel without user namespaces has no maps, and all ids
 * are mapped.
 */
#include "net/identity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
	EXTENTS_MAX = 340,	  /* user_namespaces(7) */
	OVERFLOW_DEFAULT = 65534, /* DEFAULT_OVERFLOWUID; what ProcSubset=pid hides */
};

struct map {
	struct {
		uint32_t first, count;
	} extents[EXTENTS_MAX];
	unsigned n;
	bool all;
	uint32_t overflow;
};

static struct map maps[IDENTITY_KINDS];
static bool loaded;

static void load(struct map *map, const char *path, const char *overflow_path)
{
	FILE *file = fopen(path, "re");

	map->overflow = OVERFLOW_DEFAULT;
	map->all = !file && errno == ENOENT;
	while (file && map->n < EXTENTS_MAX &&
	       fscanf(file, "%" SCNu32 " %*u %" SCNu32, &map->extents[map->n].first,
		      &map->extents[map->n].count) == 2)
		map->n++;
	if (file)
		fclose(file);
	map->all |=
		map->n == 1 && map->extents[0].first == 0 && map->extents[0].count == UINT32_MAX;
	file = map->all ? NULL : fopen(overflow_path, "re");
	if (!file)
		return;
	if (fscanf(file, "%" SCNu32, &map->overflow) != 1)
		map->overflow = OVERFLOW_DEFAULT;
	fclose(file);
}

void identity_load(void)
{
	if (loaded)
		return;
	load(&maps[IDENTITY_UID], "/proc/self/uid_map", "/proc/sys/kernel/overflowuid");
	load(&maps[IDENTITY_GID], "/proc/self/gid_map", "/proc/sys/kernel/overflowgid");
	loaded = true;
}

bool identity_is_overflow(enum identity kind, uint32_t id)
{
	identity_load();
	return !maps[kind].all && id == maps[kind].overflow;
}

bool identity_is_mapped(enum identity kind, uint32_t id)
{
	const struct map *map = &maps[kind];

	identity_load();
	if (map->all)
		return true;
	for (unsigned i = 0; i < map->n; i++)
		if (id - map->extents[i].first < map->extents[i].count)
			return !identity_is_overflow(kind, id);
	return false;
}
