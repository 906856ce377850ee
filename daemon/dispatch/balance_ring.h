/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hash ring: consistent hashing of peers to the members of a pool. Each member has
 * BALANCE_RING_POINTS points for each unit of its weight, at hashes of its name; a peer belongs to
 * the first point behind its own hash. So the peers of a member that is gone, down or out of
 * the configuration, go to others, and all other peers stay where they are. The hashes have no
 * seed: every worker, and every machine, sends a peer to the same member.
 */
#pragma once

#include <stdint.h>

struct config_route;

enum {
	BALANCE_RING_POINTS = 160,
	BALANCE_RING_MAX = 1 << 20, /* points of a ring: heavier pools have fewer for each unit */
};

struct balance_point {
	uint64_t hash;
	uint32_t member;
};

struct balance_ring {
	uint32_t n;
	struct balance_point points[];
};

/* The ring of a route's targets. NULL without memory. */
struct balance_ring *balance_ring_new(const struct config_route *route);

/* The point that a hash belongs to. */
uint32_t balance_ring_find(const struct balance_ring *ring, uint64_t hash);
