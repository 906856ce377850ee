/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls of a family's callbacks. Each goes through CALLBACK(): before it runs, the thread writes
 * which one it is to a word that outlives it, so that after a crash the keeper knows which callback
 * caused it; a callback that has killed a route's worker too often is barred for that route, and no
 * longer run.
 */
#pragma once

#include "net/family.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Every callback of <spliced/plugin.h>. Their numbers are stored in ledgers: append new ones. */
/* clang-format off */
#define CALLBACKS(X)                                                                                                             \
	X(address) X(describe) X(prepare) X(reclaim) X(bound) X(unlink) X(peer_key) X(rule) X(match) X(privileges) X(reply)         \
	X(received) X(check) X(may_send) X(release) X(sidecar) X(map) X(next) X(consume) X(preamble) X(encode) X(event) X(fits)         \
	X(copied) X(open)
/* clang-format on */

#define CALLBACK_NUMBER(name) CALLBACK_##name,
enum callback { CALLBACK_NONE, CALLBACKS(CALLBACK_NUMBER) CALLBACK_COUNT };

enum {
	CALLBACK_BITS = 8,		/* of a word: the callback; above, the family's number */
	CALLBACK_REFUSED = -EOWNERDEAD, /* what a barred callback returns; no family returns it */
};

#define CALLBACK_EVERY UINT32_MAX /* bars all of them, of every family */

/* What a thread is about to run, and must not run. */
struct callback_state {
	_Atomic uint32_t *word;	     /* NULL: not recorded */
	uint32_t barred;	     /* a word, CALLBACK_EVERY, or 0 */
	bool refused;		     /* one was barred, and not only a text */
	const struct family *family; /* whose callback was called last */
};

extern _Thread_local struct callback_state callback_state;

/* "encode"; "" for CALLBACK_NONE and what is not known here. */
const char *callback_name(uint32_t callback);

static inline uint32_t callback_word(const struct family *family, uint32_t callback)
{
	return family->number << CALLBACK_BITS | callback;
}

/* False: it is barred. */
static inline bool callback_begin(const struct family *family, enum callback callback)
{
	struct callback_state *state = &callback_state;
	uint32_t word = callback_word(family, callback);

	if (state->barred && (state->barred == CALLBACK_EVERY || state->barred == word)) {
		/* A barred describe() does not make the call fail. */
		state->refused |= callback != CALLBACK_describe;
		return false;
	}
	state->family = family;
	if (state->word)
		atomic_store_explicit(state->word, word, memory_order_relaxed);
	return true;
}

static inline int64_t callback_end(int64_t r)
{
	if (callback_state.word)
		atomic_store_explicit(callback_state.word, CALLBACK_NONE, memory_order_relaxed);
	return r;
}

/* Runs one callback; tests/lint/callbacks finds those that are called without. */
#define CALLBACK(family, name, expression)                                               \
	(callback_begin((family), CALLBACK_##name) ? callback_end((int64_t)(expression)) \
						   : (int64_t)CALLBACK_REFUSED)

#define CALLBACK_VOID(family, name, expression)                  \
	do {                                                     \
		if (callback_begin((family), CALLBACK_##name)) { \
			expression;                              \
			callback_end(0);                         \
		}                                                \
	} while (0)
