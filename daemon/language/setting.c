/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tree between the file and its meaning. It knows no key and no type of option; keys are unique
 * within a group, because libconfig refuses duplicates. A key that is read is marked as taken, so
 * that those left over are the unknown ones.
 */
#include "language/setting.h"

#include "base/arena.h"

#include <string.h>

void setting_append(struct setting *parent, struct setting *setting)
{
	if (parent->last)
		parent->last->next = setting;
	else
		parent->first = setting;
	parent->last = setting;
	parent->n++;
}

struct setting *setting_add(struct arena *arena, struct setting *parent, enum setting_type type,
			    const char *name, struct location location)
{
	struct setting *setting = arena_take(arena, 1, sizeof(*setting));

	if (!setting)
		return NULL;
	setting->type = type;
	setting->name = name;
	setting->location = location;
	if (parent)
		setting_append(parent, setting);
	return setting;
}

struct setting *setting_find_part(const struct setting *group, const char *name, size_t len)
{
	if (group->type != SETTING_GROUP)
		return NULL;
	for (struct setting *setting = group->first; setting; setting = setting->next)
		if (strncmp(setting->name, name, len) == 0 && setting->name[len] == '\0')
			return setting;
	return NULL;
}

struct setting *setting_find(const struct setting *group, const char *name)
{
	return setting_find_part(group, name, strlen(name));
}

struct setting *setting_take(struct setting *group, const char *name)
{
	struct setting *setting = setting_find(group, name);

	if (setting)
		setting->seen = true;
	return setting;
}

const char *setting_type_name(const struct setting *setting)
{
	switch (setting->type) {
	case SETTING_GROUP:
		return "a group";
	case SETTING_LIST:
		return "a list";
	case SETTING_NUMBER:
		return "a number";
	case SETTING_BOOL:
		return "a boolean";
	case SETTING_STRING:
	case SETTING_TEXT:
		break;
	}
	return "a string";
}
