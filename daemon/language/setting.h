/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A configuration file as a plain tree: what was written, not yet what it means. */
#pragma once

#include "language/location.h"

#include <stdbool.h>

struct arena;

enum setting_type {
	SETTING_GROUP,
	SETTING_LIST, /* ( ) or [ ] */
	SETTING_STRING,
	SETTING_NUMBER,
	SETTING_BOOL,
	SETTING_TEXT, /* percent-encoded text that is read as any type; added by readers of the tree
		       */
};

struct setting {
	enum setting_type type;
	const char *name; /* NULL for a list's elements */
	const char *text; /* STRING, TEXT */
	int64_t number;	  /* NUMBER, BOOL */
	bool brackets;	  /* LIST: [ ] */
	bool damaged;	  /* its value was reported already: report it only once */
	bool seen;	  /* it was read; a key that was not is unknown */
	struct location location;
	struct setting *next;
	struct setting *first, *last; /* GROUP, LIST */
	size_t n;		      /* how many of these */
};

/* Adds a new last child to parent (NULL: without a parent). NULL if there is no memory. Names and
 * texts are not copied. */
struct setting *setting_add(struct arena *arena, struct setting *parent, enum setting_type type,
			    const char *name, struct location location);

/* Makes a setting without a parent the last child of parent. */
void setting_append(struct setting *parent, struct setting *setting);

/* The child of that name; NULL if there is none. setting_take() marks it as seen. */
struct setting *setting_find(const struct setting *group, const char *name);
struct setting *setting_take(struct setting *group, const char *name);
/* The same for the first len bytes of name, not marked. */
struct setting *setting_find_part(const struct setting *group, const char *name, size_t len);

/* "a group", "a list", "a string": for errors. */
const char *setting_type_name(const struct setting *setting);
