/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who frees it all: a configuration's memory is taken piece by piece and given back at once. */
#pragma once

#include <stddef.h>

struct config_owner;

/* 0 or -ENOMEM. */
int owner_new(struct config_owner **ret);
/* Frees the owner and everything taken from it. Takes NULL, returns NULL. */
struct config_owner *owner_free(struct config_owner *owner);

/* n elements of size bytes, all zero, or NULL without memory. For n = 0 a pointer to nothing, not
 * NULL. */
void *owner_take(struct config_owner *owner, size_t n, size_t size);

/* A copy of the first len bytes of text, NUL-terminated; of the whole text; and printed. NULL
 * without memory. */
char *owner_copy(struct config_owner *owner, const char *text, size_t len);
char *owner_copy_text(struct config_owner *owner, const char *text);
char *owner_print(struct config_owner *owner, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* An array of n elements with room for one more: the same, or a larger copy where n is a power of
 * two (or 0). The old one stays with the owner. NULL without memory. */
void *owner_grow(struct config_owner *owner, void *array, size_t n, size_t size);
