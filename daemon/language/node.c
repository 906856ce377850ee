/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tree between the file and its meaning. It knows no key and no type of option; keys are unique
 * within a group, for libconfig refuses others. Whoever reads a key takes it, so that the ones left
 * over are the unknown ones.
 */
#include "language/node.h"

#include "base/arena.h"

#include <string.h>

struct node *node_add(struct arena *arena, struct node *parent, enum node_type type,
		      const char *name, struct place place)
{
	struct node *node = arena_take(arena, 1, sizeof(*node));

	if (!node)
		return NULL;
	node->type = type;
	node->name = name;
	node->place = place;
	if (!parent)
		return node;
	if (parent->last)
		parent->last->next = node;
	else
		parent->first = node;
	parent->last = node;
	parent->n++;
	return node;
}

struct node *node_find_part(const struct node *group, const char *name, size_t len)
{
	if (group->type != NODE_GROUP)
		return NULL;
	for (struct node *node = group->first; node; node = node->next)
		if (strncmp(node->name, name, len) == 0 && node->name[len] == '\0')
			return node;
	return NULL;
}

struct node *node_find(const struct node *group, const char *name)
{
	return node_find_part(group, name, strlen(name));
}

struct node *node_take(struct node *group, const char *name)
{
	struct node *node = node_find(group, name);

	if (node)
		node->seen = true;
	return node;
}

const char *node_type_name(const struct node *node)
{
	switch (node->type) {
	case NODE_GROUP:
		return "a group";
	case NODE_LIST:
		return "a list";
	case NODE_NUMBER:
		return "a number";
	case NODE_BOOL:
		return "a boolean";
	case NODE_STRING:
	case NODE_TEXT:
		break;
	}
	return "a string";
}
