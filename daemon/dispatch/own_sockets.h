/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets of our own, known to all threads of a worker: by the address that a peer sees of them,
 * where they went and which session connected them. An entry of a stream outlives its socket until
 * its place is needed: the connection may wait to be accepted when its session has ended already. A
 * table of fixed size without locks: a socket without a place is unknown, which only lets a loop
 * run one more round.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Of one socket and the session that connected it: chain.h explains its use. Times are counted
 * in entries. */
struct own_socket {
	uint64_t remote;   /* where it went; 0: need not be compared */
	uint64_t front;	   /* of a root: the key that its client would have if it was ours */
	uint32_t accepted; /* ... and when it was looked up and not found */
	uint32_t root, mark, depth, route; /* root, mark and route: slots of routes */
	uint32_t slot, serial;
	uint32_t begun;	  /* when it was about to connect */
	uint32_t grouped; /* what it sends was sent to a multicast group before */
	uint32_t stamp;	  /* when the entry was made */
};

struct own_sockets_place {
	_Atomic uint64_t key; /* 0: free; 1: being written */
	_Atomic uint64_t remote, front;
	_Atomic uint32_t accepted, root, mark, depth, route, slot, serial, begun, grouped, stamp;
};

struct own_sockets {
	struct own_sockets_place *places;
	uint32_t sets_mask;
	_Atomic uint32_t stamp;
};

/* Room for so many sessions' sockets, within a bound. -ENOMEM. */
int own_sockets_init(struct own_sockets *table, uint32_t sessions);
void own_sockets_done(struct own_sockets *table);

/* The time now. */
uint32_t own_sockets_now(const struct own_sockets *table);

/* Keys are hashes; 0 and 1 are turned into others. The table sets the stamp. */
void own_sockets_add(struct own_sockets *table, uint64_t key, const struct own_socket *socket);
bool own_sockets_find(const struct own_sockets *table, uint64_t key, struct own_socket *ret);
void own_sockets_remove(struct own_sockets *table, uint64_t key);
