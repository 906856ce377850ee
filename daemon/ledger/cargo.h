/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cargo: descriptors that leave one process and come to another in the order of the manifest,
 * and a list that goes with them. The list tells of each its place in the ledger, its number there,
 * and what identifies it, so that none is taken for another's, whatever became of ledger, list or
 * descriptors on the way.
 */
#pragma once

#include "base/index.h"

#include <stdint.h>

struct ledger;

struct cargo_identity {
	uint64_t device, inode;
	uint64_t cookie; /* 0: no socket */
};

/* As it is in the file. */
struct cargo_entry {
	uint64_t place; /* manifest.h */
	struct cargo_identity identity;
	int32_t number;
	uint32_t check; /* of all before it; in memory 0: it is not as it was written */
};

/* What did not fit. All zero: nothing is damaged. */
struct cargo_damage {
	uint32_t entries; /* of the list, that are not as they were written */
	uint32_t missing; /* descriptors that did not come, */
	uint32_t unknown; /* that came and are not in the list, or not by that name, */
	uint32_t unnamed; /* that came, and that no record names any more */
	uint32_t refused; /* places in the ledger that name a descriptor that is not theirs */
};

struct cargo {
	struct cargo_entry *entries; /* the list */
	struct cargo_arrival *ours;  /* by the number that it had */
	struct index by_place, by_identity;
	uint32_t n, size, next;
	struct cargo_damage damage;
};

/* Writes the list of all that the ledger names into a file. A place that names a descriptor that
 * is not open is cleared. 0 or negative errno. */
int cargo_write(struct ledger *ledger, int file);

/* Reads the list. 0 or negative errno. In both cases cargo_done() follows. */
int cargo_read(struct cargo *cargo, int file);

/* Takes the next descriptor that came; it is closed if it is not in the list. */
void cargo_take(struct cargo *cargo, int fd);

/* All have come: each place in the ledger gets its own descriptor's number in this process, or -1.
 * What nothing names is closed. */
void cargo_settle(struct cargo *cargo, struct ledger *old);

/* Closes what was taken and not settled. */
void cargo_done(struct cargo *cargo);
