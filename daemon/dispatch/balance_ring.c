/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Points are sorted by hash, and where two are the same, by member. */
#include "dispatch/balance_ring.h"

#include "config/config.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static int compare(const void *a, const void *b)
{
	const struct balance_point *one = a, *other = b;

	if (one->hash != other->hash)
		return one->hash < other->hash ? -1 : 1;
	return one->member < other->member ? -1 : one->member > other->member;
}

/* Of a drained member too: it may get its weight back by hand. */
static uint64_t weight_of(const struct config_endpoint *target)
{
	return target->member.weight ? target->member.weight : 1;
}

static uint64_t points_of(const struct config_endpoint *target, unsigned shift)
{
	uint64_t points = weight_of(target) * BALANCE_RING_POINTS >> shift;

	return points ? points : 1;
}

static uint64_t count_points(const struct config_route *route, unsigned shift)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < route->n_targets; i++)
		n += points_of(&route->targets[i], shift);
	return n;
}

struct balance_ring *balance_ring_new(const struct config_route *route)
{
	struct balance_ring *ring;
	unsigned shift = 0;

	while (count_points(route, shift) > BALANCE_RING_MAX && shift < 32)
		shift++;
	ring = malloc(sizeof *ring + count_points(route, shift) * sizeof *ring->points);
	if (!ring)
		return NULL;
	ring->n = 0;
	for (uint32_t i = 0; i < route->n_targets; i++) {
		const char *name = route->targets[i].name;
		uint64_t points = points_of(&route->targets[i], shift);

		for (uint64_t k = 0; k < points; k++)
			ring->points[ring->n++] = (struct balance_point){
				XXH3_64bits_withSeed(name, strlen(name), k), i};
	}
	qsort(ring->points, ring->n, sizeof *ring->points, compare);
	return ring;
}

uint32_t balance_ring_find(const struct balance_ring *ring, uint64_t hash)
{
	uint32_t low = 0, high = ring->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (ring->points[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ring->n ? low : 0;
}
