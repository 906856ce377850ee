/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An arena: memory that is allocated piece by piece and freed as a whole. */
#pragma once

#include <stddef.h>

struct arena;

/* 0 or -ENOMEM. */
int arena_new(struct arena **ret);
/* Frees the arena and everything allocated from it. Takes NULL, returns NULL. */
struct arena *arena_free(struct arena *arena);

/* n elements of size bytes, all zero, or NULL if there is no memory. For n = 0 the pointer is not
 * NULL, but must not be dereferenced. */
void *arena_take(struct arena *arena, size_t n, size_t size);

/* NUL-terminated copies: of the first len bytes of text, of the whole text, of formatted text. NULL
 * if there is no memory. */
char *arena_copy(struct arena *arena, const char *text, size_t len);
char *arena_copy_text(struct arena *arena, const char *text);
char *arena_print(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* An array of n elements with room for one more: the same, or a larger copy where n is a power of
 * two (or 0). The old one is freed with the arena. NULL if there is no memory. */
void *arena_grow(struct arena *arena, void *array, size_t n, size_t size);
