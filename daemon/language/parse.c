/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libconfig turns the text into its tree, and this copies it into our tree: names, values,
 * locations. It owns nothing afterwards.
 *
 * The locations of named settings come from libconfig's lines, those of a list's elements from the
 * source, which counted the lines: libconfig asks for an element's line only after it has read the
 * next word.
 */
#include "language/parse.h"

#include "base/arena.h"
#include "language/reader.h"
#include "language/setting.h"
#include "language/source.h"

#include <errno.h>
#include <libconfig.h>
#include <string.h>

enum { MEMBERS_AT_ONCE = 64 };

struct walk {
	struct reader *reader;
	const struct source *source;
	size_t value; /* the next of source->values */
	size_t lines; /* of the source before the text that libconfig parses */
	size_t cut;   /* the next of source->cuts */
	bool broken;
};

static struct location location_of(const struct source *source, unsigned line)
{
	return line > 0 && line <= source->n_lines ? source->lines[line - 1] : (struct location){0};
}

static enum setting_type type_of(const config_setting_t *from)
{
	switch (config_setting_type(from)) {
	case CONFIG_TYPE_GROUP:
		return SETTING_GROUP;
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		return SETTING_LIST;
	case CONFIG_TYPE_STRING:
		return SETTING_STRING;
	case CONFIG_TYPE_BOOL:
		return SETTING_BOOL;
	default:
		return SETTING_NUMBER;
	}
}

static int copy_setting(struct walk *walk, const config_setting_t *from, struct setting *parent);
static bool is_large(const struct source *source, size_t cut);
static size_t end_of_group(const struct source *source, size_t cut);
static int parse_group(struct walk *walk, struct setting *group);

static int copy_children(struct walk *walk, const config_setting_t *from, struct setting *setting)
{
	int n = config_setting_length(from), r;

	for (int i = 0; i < n; i++) {
		r = copy_setting(walk, config_setting_get_elem(from, (unsigned)i), setting);
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_value(struct walk *walk, const config_setting_t *from, struct setting *setting)
{
	const struct source_value *value;

	if (setting->type == SETTING_STRING) {
		const char *text = config_setting_get_string(from);

		setting->text = arena_copy_text(walk->reader->arena, text ? text : "");
		if (!setting->text)
			return -ENOMEM;
	} else if (setting->type == SETTING_BOOL) {
		setting->number = config_setting_get_bool(from);
	} else {
		setting->number = config_setting_get_int(from);
	}
	if (walk->value >= walk->source->n_values)
		return 0;
	value = &walk->source->values[walk->value++];
	setting->damaged = value->damaged;
	if (!setting->name)
		setting->location = value->location;
	return 0;
}

/* Whether it is the outermost group that the next cut belongs to. */
static bool is_next_group(const struct walk *walk, const struct setting *parent,
			  const struct setting *setting)
{
	const struct source_cut *cut = walk->source->cuts + walk->cut;

	return setting->type == SETTING_GROUP && !parent->name &&
	       walk->cut < walk->source->n_cuts && setting->name &&
	       strlen(setting->name) == cut->group_len &&
	       memcmp(setting->name, cut->group, cut->group_len) == 0;
}

static int skip_group(struct walk *walk, const config_setting_t *from, struct setting *setting)
{
	walk->cut = end_of_group(walk->source, walk->cut) + 1;
	return copy_children(walk, from, setting);
}

static int copy_setting(struct walk *walk, const config_setting_t *from, struct setting *parent)
{
	const char *name = config_setting_name(from);
	struct location location =
		location_of(walk->source, (unsigned)walk->lines + config_setting_source_line(from));
	struct setting *setting;

	if (name) {
		name = arena_copy_text(walk->reader->arena, name);
		if (!name)
			return -ENOMEM;
	}
	setting = setting_add(walk->reader->arena, parent, type_of(from), name, location);
	if (!setting)
		return -ENOMEM;
	setting->brackets = config_setting_type(from) == CONFIG_TYPE_ARRAY;
	if (is_next_group(walk, parent, setting))
		return is_large(walk->source, walk->cut) ? parse_group(walk, setting)
							 : skip_group(walk, from, setting);
	if (setting->type == SETTING_GROUP || setting->type == SETTING_LIST)
		return copy_children(walk, from, setting);
	return copy_value(walk, from, setting);
}

/* The line of the error, as far as it fits a terminal. */
static void report_syntax(struct reader *reader, const struct source *source, unsigned line,
			  const char *what)
{
	const char *text = source->text, *end;

	for (unsigned i = 1; i < line && text; i++) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	text = text ? text + strspn(text, " \t") : "";
	end = text + strcspn(text, "\r\n");
	reader_error(reader, location_of(source, line), "%s at \"%.*s\"; look here and just before",
		     what, end - text > 60 ? 60 : (int)(end - text), text);
}

/* Members of a large group, from one cut to another, as a text of their own. */
static int parse_members(struct walk *walk, const struct source_cut *from,
			 const struct source_cut *to, struct setting *group)
{
	char *end = walk->source->text + to->at, last = *end;
	config_t libconfig;
	int r = 0;

	config_init(&libconfig);
	*end = '\0';
	walk->lines = from->line - 1;
	if (config_read_string(&libconfig, walk->source->text + from->at) == CONFIG_TRUE) {
		r = copy_children(walk, config_root_setting(&libconfig), group);
	} else {
		*end = last;
		walk->broken = true;
		report_syntax(walk->reader, walk->source,
			      (unsigned)(walk->lines + (size_t)config_error_line(&libconfig)),
			      config_error_text(&libconfig));
	}
	walk->lines = 0;
	*end = last;
	config_destroy(&libconfig);
	return r;
}

/* The cut that ends the group of this one. */
static size_t end_of_group(const struct source *source, size_t cut)
{
	while (!source->cuts[cut].end)
		cut++;
	return cut;
}

/* libconfig searches all members of a group for each one that it adds: large groups are parsed in
 * parts. */
static int parse_group(struct walk *walk, struct setting *group)
{
	const struct source *source = walk->source;
	size_t end = end_of_group(source, walk->cut);
	int r = 0;

	for (size_t from = walk->cut; from < end && r == 0 && !walk->broken;
	     from += MEMBERS_AT_ONCE) {
		size_t to = from + MEMBERS_AT_ONCE < end ? from + MEMBERS_AT_ONCE : end;

		r = parse_members(walk, &source->cuts[from], &source->cuts[to], group);
	}
	walk->cut = end + 1;
	return r;
}

static bool is_large(const struct source *source, size_t cut)
{
	return end_of_group(source, cut) - cut > MEMBERS_AT_ONCE;
}

/* The text without the members of large groups; line numbers do not change. */
static char *hide_members(struct reader *reader, const struct source *source)
{
	char *text = arena_copy(reader->arena, source->text ? source->text : "", source->len);

	for (size_t cut = 0, end; text && cut < source->n_cuts; cut = end + 1) {
		end = end_of_group(source, cut);
		for (size_t at = source->cuts[cut].at;
		     end - cut > MEMBERS_AT_ONCE && at < source->cuts[end].at; at++)
			text[at] = text[at] == '\n' ? '\n' : ' ';
	}
	return text;
}

int parse_source(struct reader *reader, const struct source *source, struct setting **ret)
{
	struct walk walk = {.reader = reader, .source = source};
	config_t libconfig;
	char *text;
	int r;

	*ret = NULL;
	if (source->broken)
		return 0;
	text = hide_members(reader, source);
	if (!text)
		return -ENOMEM;
	config_init(&libconfig);
	if (config_read_string(&libconfig, text) != CONFIG_TRUE) {
		report_syntax(reader, source, (unsigned)config_error_line(&libconfig),
			      config_error_text(&libconfig));
		config_destroy(&libconfig);
		return 0;
	}
	*ret = setting_add(reader->arena, NULL, SETTING_GROUP, NULL, location_of(source, 1));
	r = *ret ? copy_children(&walk, config_root_setting(&libconfig), *ret) : -ENOMEM;
	config_destroy(&libconfig);
	if (walk.broken)
		*ret = NULL;
	return r;
}
