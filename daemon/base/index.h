/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An index: finds numbers by a hash of what they stand for. It keeps no keys: whoever looks
 * compares what the numbers that it offers stand for. Hashes are seeded anew in each process, so
 * that nobody outside chooses what collides.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index_entry {
	uint64_t hash;
	uint32_t number; /* plus one; 0: free */
};

/* All zero: empty. */
struct index {
	struct index_entry *entries;
	size_t size, count; /* size: a power of two, or 0 */
};

void index_done(struct index *index);

/* The hash of some bytes, and of what came before (0: nothing). */
uint64_t index_hash(const void *bytes, size_t len, uint64_t before);
uint64_t index_hash_text(const char *text, uint64_t before);

/* Adds a number; what is equal is not looked for. 0 or -ENOMEM. */
int index_add(struct index *index, uint64_t hash, uint32_t number);

/* The next number of this hash; `*at` is 0 at first, and goes on from call to call. False: there
 * are no more. */
bool index_next(const struct index *index, uint64_t hash, size_t *at, uint32_t *number);

/* Takes a number away, if it is there. */
void index_remove(struct index *index, uint64_t hash, uint32_t number);
