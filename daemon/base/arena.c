/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All allocations are in one list. Each is its own malloc(3), so that the sanitizers and valgrind
 * still see every overrun; they are freed only together.
 */
#include "base/arena.h"

#include "base/assert.h"

#include <errno.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct piece {
	alignas(max_align_t) struct piece *next;
};

struct arena {
	struct piece *first;
};

int arena_new(struct arena **ret)
{
	struct arena *arena = calloc(1, sizeof(*arena));

	if (!arena)
		return -ENOMEM;
	*ret = arena;
	return 0;
}

struct arena *arena_free(struct arena *arena)
{
	struct piece *next;

	if (!arena)
		return NULL;
	for (struct piece *piece = arena->first; piece; piece = next) {
		next = piece->next;
		free(piece);
	}
	free(arena);
	return NULL;
}

void *arena_take(struct arena *arena, size_t n, size_t size)
{
	struct piece *piece;
	size_t bytes;

	assert(arena);
	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - sizeof(*piece))
		return NULL;
	piece = calloc(1, sizeof(*piece) + bytes);
	if (!piece)
		return NULL;
	piece->next = arena->first;
	arena->first = piece;
	return piece + 1;
}

char *arena_copy(struct arena *arena, const char *text, size_t len)
{
	char *copy = arena_take(arena, len + 1, 1);

	assert(text || !len);
	if (copy)
		memcpy(copy, text, len);
	return copy;
}

char *arena_copy_text(struct arena *arena, const char *text)
{
	return arena_copy(arena, text, strlen(text));
}

char *arena_print(struct arena *arena, const char *format, ...)
{
	va_list args, again;
	char *text = NULL;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	if (len >= 0)
		text = arena_take(arena, (size_t)len + 1, 1);
	if (text)
		vsnprintf(text, (size_t)len + 1, format, again);
	va_end(again);
	va_end(args);
	return text;
}

void *arena_grow(struct arena *arena, void *array, size_t n, size_t size)
{
	void *larger;

	if (n & (n - 1)) /* not a power of two: there is room up to the next one */
		return array;
	larger = arena_take(arena, n ? 2 * n : 1, size);
	if (larger && n)
		memcpy(larger, array, n * size);
	return larger;
}
