/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that belongs to a configuration hangs on one list. Each piece is its own malloc(3), so
 * that the sanitizers and valgrind still see every overrun; nothing is ever given back before the
 * whole, for a configuration does not change.
 */
#include "config/owner.h"

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

struct config_owner {
	struct piece *first;
};

int owner_new(struct config_owner **ret)
{
	struct config_owner *owner = calloc(1, sizeof(*owner));

	if (!owner)
		return -ENOMEM;
	*ret = owner;
	return 0;
}

struct config_owner *owner_free(struct config_owner *owner)
{
	struct piece *next;

	if (!owner)
		return NULL;
	for (struct piece *piece = owner->first; piece; piece = next) {
		next = piece->next;
		free(piece);
	}
	free(owner);
	return NULL;
}

void *owner_take(struct config_owner *owner, size_t n, size_t size)
{
	struct piece *piece;
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - sizeof(*piece))
		return NULL;
	piece = calloc(1, sizeof(*piece) + bytes);
	if (!piece)
		return NULL;
	piece->next = owner->first;
	owner->first = piece;
	return piece + 1;
}

char *owner_copy(struct config_owner *owner, const char *text, size_t len)
{
	char *copy = owner_take(owner, len + 1, 1);

	if (copy)
		memcpy(copy, text, len);
	return copy;
}

char *owner_copy_text(struct config_owner *owner, const char *text)
{
	return owner_copy(owner, text, strlen(text));
}

char *owner_print(struct config_owner *owner, const char *format, ...)
{
	va_list args, again;
	char *text = NULL;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	if (len >= 0)
		text = owner_take(owner, (size_t)len + 1, 1);
	if (text)
		vsnprintf(text, (size_t)len + 1, format, again);
	va_end(again);
	va_end(args);
	return text;
}

void *owner_grow(struct config_owner *owner, void *array, size_t n, size_t size)
{
	void *larger;

	if (n & (n - 1)) /* not a power of two: there is room up to the next one */
		return array;
	larger = owner_take(owner, n ? 2 * n : 1, size);
	if (larger && n)
		memcpy(larger, array, n * size);
	return larger;
}
