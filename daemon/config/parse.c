/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libconfig turns the text into its tree, and this copies it into ours: names, values, places. It
 * owns nothing afterwards.
 *
 * The places of named settings come from libconfig's lines, those of a list's elements from the
 * source, which counted along: libconfig asks for an element's line only after it has read the next
 * word.
 */
#include "config/parse.h"

#include "config/check.h"
#include "config/node.h"
#include "config/owner.h"
#include "config/source.h"

#include <errno.h>
#include <libconfig.h>
#include <string.h>

struct walk {
	struct check *check;
	const struct source *source;
	size_t value; /* the next of source->values */
};

static struct config_place place_of(const struct source *source, unsigned line)
{
	return line > 0 && line <= source->n_lines ? source->lines[line - 1]
						   : (struct config_place){0};
}

static enum node_type type_of(const config_setting_t *setting)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_GROUP:
		return NODE_GROUP;
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		return NODE_LIST;
	case CONFIG_TYPE_STRING:
		return NODE_STRING;
	case CONFIG_TYPE_BOOL:
		return NODE_BOOL;
	default:
		return NODE_NUMBER;
	}
}

static int copy_setting(struct walk *walk, const config_setting_t *setting, struct node *parent);

static int copy_children(struct walk *walk, const config_setting_t *setting, struct node *node)
{
	int n = config_setting_length(setting), r;

	for (int i = 0; i < n; i++) {
		r = copy_setting(walk, config_setting_get_elem(setting, (unsigned)i), node);
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_value(struct walk *walk, const config_setting_t *setting, struct node *node)
{
	const struct source_value *value;

	if (node->type == NODE_STRING) {
		const char *text = config_setting_get_string(setting);

		node->text = owner_copy_text(walk->check->scratch, text ? text : "");
		if (!node->text)
			return -ENOMEM;
	} else if (node->type == NODE_BOOL) {
		node->number = config_setting_get_bool(setting);
	} else {
		node->number = config_setting_get_int(setting);
	}
	if (walk->value >= walk->source->n_values)
		return 0;
	value = &walk->source->values[walk->value++];
	node->damaged = value->damaged;
	if (!node->name)
		node->place = value->place;
	return 0;
}

static int copy_setting(struct walk *walk, const config_setting_t *setting, struct node *parent)
{
	const char *name = config_setting_name(setting);
	struct config_place place = place_of(walk->source, config_setting_source_line(setting));
	struct node *node;

	if (name) {
		name = owner_copy_text(walk->check->scratch, name);
		if (!name)
			return -ENOMEM;
	}
	node = node_add(walk->check->scratch, parent, type_of(setting), name, place);
	if (!node)
		return -ENOMEM;
	node->brackets = config_setting_type(setting) == CONFIG_TYPE_ARRAY;
	if (node->type == NODE_GROUP || node->type == NODE_LIST)
		return copy_children(walk, setting, node);
	return copy_value(walk, setting, node);
}

/* The line of the error, as far as a terminal takes it. */
static void report_syntax(struct check *check, const struct source *source, unsigned line,
			  const char *what)
{
	const char *text = source->text, *end;

	for (unsigned i = 1; i < line && text; i++) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	text = text ? text + strspn(text, " \t") : "";
	end = text + strcspn(text, "\r\n");
	check_error(check, place_of(source, line), "%s at \"%.*s\"; look here and just before",
		    what, end - text > 60 ? 60 : (int)(end - text), text);
}

int parse_source(struct check *check, const struct source *source, struct node **ret)
{
	struct walk walk = {.check = check, .source = source};
	config_t libconfig;
	int r;

	*ret = NULL;
	if (source->broken)
		return 0;
	config_init(&libconfig);
	if (config_read_string(&libconfig, source->text ? source->text : "") != CONFIG_TRUE) {
		report_syntax(check, source, (unsigned)config_error_line(&libconfig),
			      config_error_text(&libconfig));
		config_destroy(&libconfig);
		return 0;
	}
	*ret = node_add(check->scratch, NULL, NODE_GROUP, NULL, place_of(source, 1));
	r = *ret ? copy_children(&walk, config_root_setting(&libconfig), *ret) : -ENOMEM;
	config_destroy(&libconfig);
	return r;
}
