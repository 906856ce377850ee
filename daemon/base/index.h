/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An index: finds numbers by a hash of the key they stand for. It stores no keys: the caller
 * compares the key of each number that is found. The seed of the hash is random for each process,
 * so that a peer cannot choose keys that collide.
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

/* The hash of some bytes, continued from the hash `before` (0: none). */
uint64_t index_hash(const void *bytes, size_t len, uint64_t before);
uint64_t index_hash_text(const char *text, uint64_t before);

/* Adds a number, without looking for an equal one. 0 or -ENOMEM. */
int index_add(struct index *index, uint64_t hash, uint32_t number);

/* The next number of this hash; `*at` is 0 for the first call and is updated by each. False: there
 * are no more. */
bool index_next(const struct index *index, uint64_t hash, size_t *at, uint32_t *number);

/* Removes a number, if it is there. */
void index_remove(struct index *index, uint64_t hash, uint32_t number);
