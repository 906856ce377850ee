/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A configuration file as a plain tree: what was written, not yet what it means. */
#pragma once

#include "language/place.h"

#include <stdbool.h>

struct arena;

enum node_type {
	NODE_GROUP,
	NODE_LIST, /* ( ) or [ ] */
	NODE_STRING,
	NODE_NUMBER,
	NODE_BOOL,
	NODE_TEXT, /* percent-encoded text that reads as any type; added by who reads the tree */
};

struct node {
	enum node_type type;
	const char *name; /* NULL for a list's elements */
	const char *text; /* STRING, TEXT */
	int64_t number;	  /* NUMBER, BOOL */
	bool brackets;	  /* LIST: [ ] */
	bool damaged;	  /* its value was reported already: no more of it */
	bool seen;	  /* something took it; what nobody took is unknown */
	struct place place;
	struct node *next;
	struct node *first, *last; /* GROUP, LIST */
	size_t n;		   /* how many of these */
};

/* A new last child of parent (NULL: of nobody). NULL without memory. Names and texts are not
 * copied. */
struct node *node_add(struct arena *arena, struct node *parent, enum node_type type,
		      const char *name, struct place place);

/* The child of that name; NULL if there is none. node_take() marks it as seen. */
struct node *node_find(const struct node *group, const char *name);
struct node *node_take(struct node *group, const char *name);
/* The same for the first len bytes of name, not marked. */
struct node *node_find_part(const struct node *group, const char *name, size_t len);

/* "a group", "a list", "a string": for errors. */
const char *node_type_name(const struct node *node);
