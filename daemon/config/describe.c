/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a family takes, from its tables, and what the file itself takes, from the schema's, as JSON.
 * The text for people is made from it by describe_text.c.
 */
#include "config/config.h"
#include "config/describe_counters.h"
#include "config/describe_text.h"
#include "config/expect.h"
#include "config/ip.h"
#include "config/schema.h"
#include "config/value.h"

#include "base/report.h"
#include "net/framing.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *const capability_names[] = {
	/* promises */
	[0] = "listen",
	[1] = "connect",
	[2] = "reliable",
	[3] = "half-close",
	[4] = "readers",
	[5] = "passes-fds",
	[6] = "credentials",
	[7] = "reset",
	[8] = "tcp-info",
	/* traits */
	[32] = "connectionless",
	[33] = "boundaries",
	[34] = "receive-only",
	[35] = "feed",
	[36] = "binds",
	[37] = "short-peek",
	[38] = "file",
};
enum { CAPABILITIES = sizeof(capability_names) / sizeof(capability_names[0]) };

static const char *row_type(const struct spliced_row *row)
{
	const char *name = family_type_name(row->type);

	return name ? name : "unknown";
}

/* Whether what is for these rows (0: all) is for this one. */
static bool applies_to(uint64_t rows, uint32_t row)
{
	return rows == 0 || (rows & UINT64_C(1) << row);
}

static bool has_role(const struct spliced_option *option, enum spliced_role role)
{
	return option->roles == 0 || (option->roles & role);
}

/* The scheme of endpoint strings: the row's own, or FAMILY, which means the first row's type, or
 * FAMILY-TYPE. */
static const char *row_scheme(const struct family *family, const struct spliced_row *row,
			      char *text, size_t size)
{
	if (row->scheme)
		return row->scheme;
	if (row->type == family->rows[0].type)
		return family->name;
	snprintf(text, size, "%s-%s", family->name, row_type(row));
	return text;
}

/* Whether the scheme alone would mean another row. */
static bool needs_protocol(const struct family *family, const struct spliced_row *row)
{
	return !row->scheme && row->name && !strstr(row->pattern, "PROTOCOL") &&
	       family_row(family, row->type, NULL) != row;
}

/* How an endpoint string of the row reads. */
static const char *row_written(const struct family *family, const struct spliced_row *row,
			       char *text, size_t size)
{
	bool named = needs_protocol(family, row);
	char scheme[64];

	snprintf(text, size, "%s://%s%s%s", row_scheme(family, row, scheme, sizeof(scheme)),
		 row->pattern, named ? "?protocol=" : "", named ? row->name : "");
	return text;
}

/* Adds what may be missing as null. */
static void set_text(json_t *object, const char *key, const char *text)
{
	json_object_set_new(object, key, text ? json_string(text) : json_null());
}

static json_t *row_to_json(const struct family *family, const struct spliced_row *row)
{
	json_t *object = json_object(), *capabilities = json_array();
	char text[256];

	set_text(object, "type", row_type(row));
	set_text(object, "protocol", row->name);
	set_text(object, "scheme", row_scheme(family, row, text, sizeof(text)));
	set_text(object, "pattern", row->pattern);
	set_text(object, "written", row_written(family, row, text, sizeof(text)));
	for (unsigned i = 0; i < CAPABILITIES; i++)
		if (capability_names[i] && row->capabilities & UINT64_C(1) << i)
			json_array_append_new(capabilities, json_string(capability_names[i]));
	json_object_set_new(object, "capabilities", capabilities);
	json_object_set_new(object, "max_message", json_integer((json_int_t)row->max_message));
	return object;
}

static json_t *rows_to_json(const struct family *family, uint64_t rows)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < family->plugin.n_rows; i++)
		if (applies_to(rows, i))
			json_array_append_new(array, json_integer(i));
	return array;
}

static json_t *format_to_json(const struct family *family, const struct spliced_format *format)
{
	enum spliced_framing framing = (enum spliced_framing)format->framing;
	json_t *object = json_object();

	set_text(object, "name", format->name);
	set_text(object, "doc", format->doc);
	set_text(object, "framing", framing ? framing_name(framing) : NULL);
	json_object_set_new(object, "rows", rows_to_json(family, format->rows));
	return object;
}

/* The description of an option, of a family or of the daemon. */
static json_t *value_to_json(const struct spliced_option *option)
{
	json_t *object = json_object(), *words = json_array();

	set_text(object, "name", option->name);
	set_text(object, "doc", option->doc);
	set_text(object, "type", expect_type_name(option));
	set_text(object, "default", option->default_text);
	json_object_set_new(object, "required", json_boolean(option->flags & SPLICED_REQUIRED));
	if (option->min || option->max) {
		json_object_set_new(object, "min", json_integer(option->min));
		json_object_set_new(object, "max", json_integer(option->max));
	}
	for (const char *const *word = option->words; word && *word; word++)
		json_array_append_new(words, json_string(*word));
	json_object_set_new(object, "words", words);
	return object;
}

static void set_change(json_t *object, const struct spliced_option *option)
{
	set_text(object, "change", option->flags & SPLICED_LIVE ? "live" : "reopen");
}

static json_t *option_to_json(const struct family *family, const struct spliced_option *option)
{
	json_t *object = value_to_json(option), *roles = json_array();

	set_change(object, option);
	if (has_role(option, SPLICED_LISTEN))
		json_array_append_new(roles, json_string("listen"));
	if (has_role(option, SPLICED_CONNECT))
		json_array_append_new(roles, json_string("target"));
	json_object_set_new(object, "roles", roles);
	json_object_set_new(object, "rows", rows_to_json(family, option->rows));
	return object;
}

static json_t *family_to_json(const struct family *family)
{
	json_t *object = json_object(), *rows = json_array(), *options = json_array();
	json_t *formats = json_array();

	set_text(object, "name", family->name);
	set_text(object, "summary", family->plugin.summary);
	set_text(object, "path", family->path);
	json_object_set_new(object, "abi",
			    json_pack("[ii]", family->plugin.abi_major, family->plugin.abi_minor));
	for (uint32_t i = 0; i < family->plugin.n_rows; i++)
		json_array_append_new(rows, row_to_json(family, &family->rows[i]));
	for (uint32_t i = 0; i < family->plugin.n_options; i++)
		json_array_append_new(options, option_to_json(family, &family->options[i]));
	json_object_set_new(object, "rows", rows);
	for (uint32_t i = 0; i < family->plugin.n_formats; i++)
		json_array_append_new(formats, format_to_json(family, &family->formats[i]));
	json_object_set_new(object, "options", options);
	json_object_set_new(object, "formats", formats);
	json_object_set_new(object, "counters", describe_family_counters(family));
	return object;
}

/* What is no family's: the groups of a file. Keys are those without a table: groups, lists,
 * endpoints. */
static const struct part {
	const char *name, *summary;
	const char *const *keys;
	const struct spliced_option *options;
	size_t n_options;
	bool is_socket; /* a change of an option is one of a socket */
} parts[] = {
	{"file", "A configuration file", schema_root_keys, NULL, 0, false},
	{"daemon", "The daemon itself, a group of the file", NULL, schema_daemon, DAEMON_OPTIONS,
	 false},
	{"route", "A route; defaults take the same, without endpoints", schema_route_keys,
	 schema_route, ROUTE_OPTIONS, false},
	{"endpoint", "An endpoint of any family", schema_endpoint_keys, schema_endpoint,
	 ENDPOINT_OPTIONS, true},
};

static const struct part *find_part(const char *name)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strcmp(name, parts[i].name) == 0)
			return &parts[i];
	return NULL;
}

static json_t *part_to_json(const struct part *part)
{
	json_t *object = json_object(), *keys = json_array(), *options = json_array();

	set_text(object, "name", part->name);
	set_text(object, "summary", part->summary);
	for (const char *const *key = part->keys; key && *key; key++)
		json_array_append_new(keys, json_string(*key));
	for (size_t i = 0; i < part->n_options; i++) {
		json_t *option = value_to_json(&part->options[i]);

		if (part->is_socket)
			set_change(option, &part->options[i]);
		json_array_append_new(options, option);
	}
	json_object_set_new(object, "keys", keys);
	json_object_set_new(object, "options", options);
	return object;
}

static json_t *all_to_json(const struct families *families)
{
	json_t *array = json_array();

	for (const struct family *family = families->first; family; family = family->next) {
		json_t *object = json_object();

		set_text(object, "name", family->name);
		set_text(object, "summary", family->plugin.summary ? family->plugin.summary : "");
		set_text(object, "path", family->path);
		json_array_append_new(array, object);
	}
	return array;
}

static int load(struct families *families, const char *name, const struct family **ret,
		struct report *report)
{
	char *why = NULL;
	int r = family_load(families, name, ret, &why);

	if (r < 0)
		report_add(report, "%s", why ? why : strerror(-r));
	free(why);
	return r;
}

static int load_to_json(struct families *families, const char *name, json_t **ret,
			struct report *report)
{
	const struct family *family;
	int r = load(families, name, &family, report);

	if (r == 0)
		*ret = family_to_json(family);
	return r;
}

/* No family of its own, but two. */
static int ip_to_json(struct families *families, json_t **ret, struct report *report)
{
	json_t *array = json_array(), *one = NULL;
	int r = 0;

	for (unsigned i = 0; i < IP_FAMILIES && r == 0; i++) {
		r = load_to_json(families, ip_families[i], &one, report);
		if (r == 0)
			json_array_append_new(array, one);
	}
	*ret = json_object();
	set_text(*ret, "name", IP_NAME);
	set_text(*ret, "summary", IP_SUMMARY);
	json_object_set_new(*ret, "families", array);
	return r;
}

/* jansson carries a lack of memory along as a NULL. */
static int print(const json_t *described, bool json, FILE *file)
{
	int r;

	if (!json)
		return described ? describe_text_print(described, file) : -ENOMEM;
	r = described && json_dumpf(described, file, JSON_INDENT(2)) == 0 ? 0 : -ENOMEM;
	fputc('\n', file);
	return r;
}

int config_describe(struct families *families, const char *name, bool json, FILE *file,
		    struct report *report)
{
	const struct part *part = name ? find_part(name) : NULL;
	json_t *described = NULL;
	int r = 0, printed = 0;

	if (!name) {
		r = families_load_all(families, report);
		described = all_to_json(families);
	} else if (part) {
		described = part_to_json(part);
	} else if (!strcmp(name, COUNTERS_NAME)) {
		r = families_load_all(families, report);
		described = describe_counters(families);
	} else if (ip_is_name(name)) {
		r = ip_to_json(families, &described, report);
	} else {
		r = load_to_json(families, name, &described, report);
	}
	if (r == 0 || !name)
		printed = print(described, json, file);
	json_decref(described);
	return printed < 0 ? printed : r;
}
