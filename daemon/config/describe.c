/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a family takes, from its tables, and what the file itself takes, from the schema's: for people, and as JSON for
 * programs. Both say the same.
 */
#include "config/config.h"
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
	"listen",      "connect",      "connectionless", "boundaries", "reliable",
	"ordered",     "half-close",   "splice",	 "readers",    "passes-fds",
	"credentials", "receive-only", "reset",		 "tcp-info",   "feed",
	"binds",       "short-peek",
};
enum { CAPABILITIES = sizeof(capability_names) / sizeof(capability_names[0]) };

static const char *const type_names[] = {
	[SPLICED_BOOL] = "bool",
	[SPLICED_NUMBER] = "number",
	[SPLICED_STRING] = "string",
	[SPLICED_WORD] = "word",
	[SPLICED_WORD_OR_NUMBER] = "word or number",
	[SPLICED_SIZE] = "size",
	[SPLICED_DURATION] = "duration",
	[SPLICED_RATE] = "rate",
	[SPLICED_MODE] = "mode",
	[SPLICED_PATH] = "path",
	[SPLICED_INTERFACE] = "interface",
	[SPLICED_LIST] = "list",
	[SPLICED_HOST] = "host",
};

static const char *type_name(const struct spliced_option *option)
{
	return option->type < sizeof(type_names) / sizeof(type_names[0]) && type_names[option->type]
		       ? type_names[option->type]
		       : "unknown";
}

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

/* "stream tcp" */
static void print_row_name(FILE *file, const struct spliced_row *row)
{
	fprintf(file, "%s%s%s", row_type(row), row->name ? " " : "", row->name ? row->name : "");
}

/* The scheme of endpoint strings: the row's own, or FAMILY, which means the first row's type, or FAMILY-TYPE. */
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

static void print_row(FILE *file, const struct family *family, const struct spliced_row *row)
{
	const char *separator = "";
	char written[256];

	fputs("  ", file);
	print_row_name(file, row);
	fprintf(file, "\n    endpoint      %s",
		row_written(family, row, written, sizeof(written)));
	fputs("\n    capabilities  ", file);
	for (unsigned i = 0; i < CAPABILITIES; i++) {
		if (!(row->capabilities & UINT64_C(1) << i))
			continue;
		fprintf(file, "%s%s", separator, capability_names[i]);
		separator = ", ";
	}
	if (row->max_message)
		fprintf(file, "\n    message       at most %llu bytes",
			(unsigned long long)row->max_message);
	fputc('\n', file);
}

/* Which rows something is for, where it is not for all of them. */
static void print_rows(FILE *file, const struct family *family, uint64_t rows)
{
	const char *separator = "";

	if (rows == 0)
		return;
	fputs("    only for      ", file);
	for (uint32_t i = 0; i < family->plugin.n_rows; i++) {
		if (!applies_to(rows, i))
			continue;
		fputs(separator, file);
		print_row_name(file, &family->rows[i]);
		separator = ", ";
	}
	fputc('\n', file);
}

static void print_value(FILE *file, const struct spliced_option *option)
{
	char expects[640];

	fprintf(file, "  %s\n    %s\n", option->name, option->doc ? option->doc : "");
	fprintf(file, "    %-12s  %s\n", type_name(option),
		expect_text(option, expects, sizeof(expects)));
	if (option->flags & SPLICED_REQUIRED)
		fputs("    required\n", file);
	else if (option->default_text)
		fprintf(file, "    default       %s\n",
			*option->default_text ? option->default_text : "\"\"");
}

static void print_change(FILE *file, const struct spliced_option *option)
{
	fprintf(file, "    a change      %s\n",
		option->flags & SPLICED_LIVE ? "applies to the open socket" : "requires a new socket");
}

static void print_option(FILE *file, const struct family *family,
			 const struct spliced_option *option)
{
	print_value(file, option);
	if (option->roles == SPLICED_LISTEN || option->roles == SPLICED_CONNECT)
		fprintf(file, "    only for      %s\n",
			option->roles == SPLICED_LISTEN ? "listen" : "target, dial");
	print_rows(file, family, option->rows);
	print_change(file, option);
}

static void print_format(FILE *file, const struct family *family,
			 const struct spliced_format *format)
{
	fprintf(file, "  %s\n    %s\n", format->name, format->doc);
	if (format->framing == SPLICED_FRAMING_NONE)
		fputs("    on a stream   frames itself\n", file);
	else if (format->framing != SPLICED_FRAMING_UNSET)
		fprintf(file, "    on a stream   framing = %s\n",
			framing_name((enum spliced_framing)format->framing));
	print_rows(file, family, format->rows);
}

static void print_family(FILE *file, const struct family *family)
{
	fprintf(file, "%s: %s\n(%s, ABI %u.%u)\n\nTypes\n", family->name,
		family->plugin.summary ? family->plugin.summary : "", family->path,
		family->plugin.abi_major, family->plugin.abi_minor);
	for (uint32_t i = 0; i < family->plugin.n_rows; i++)
		print_row(file, family, &family->rows[i]);
	fputs("\nOptions\n", file);
	for (uint32_t i = 0; i < family->plugin.n_options; i++)
		print_option(file, family, &family->options[i]);
	if (family->plugin.n_formats)
		fputs("\nFormats\n", file);
	for (uint32_t i = 0; i < family->plugin.n_formats; i++)
		print_format(file, family, &family->formats[i]);
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
		if (row->capabilities & UINT64_C(1) << i)
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

/* What there is to say of an option, whosever it is. */
static json_t *value_to_json(const struct spliced_option *option)
{
	json_t *object = json_object(), *words = json_array();

	set_text(object, "name", option->name);
	set_text(object, "doc", option->doc);
	set_text(object, "type", type_name(option));
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
	return object;
}

/* Prints and frees it. jansson carries a lack of memory along as a NULL. */
static int print_json(FILE *file, json_t *json)
{
	int r = json && json_dumpf(json, file, JSON_INDENT(2)) == 0 ? 0 : -ENOMEM;

	fputc('\n', file);
	json_decref(json);
	return r;
}

/* What is no family's: the groups of a file. Keys are those without a table: groups, lists, endpoints. */
static const struct part {
	const char *name, *summary;
	const char *const *keys;
	const struct spliced_option *options;
	size_t n_options;
	bool is_socket; /* a change of an option is one of a socket */
} parts[] = {
	{"file", "A configuration file", schema_root_keys, NULL, 0, false},
	{"daemon", "The daemon itself, a group of the file", NULL, schema_daemon, DAEMON_OPTIONS, false},
	{"route", "A route; defaults take the same, without endpoints", schema_route_keys, schema_route,
	 ROUTE_OPTIONS, false},
	{"endpoint", "An endpoint of any family", schema_endpoint_keys, schema_endpoint, ENDPOINT_OPTIONS,
	 true},
};

static const struct part *find_part(const char *name)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strcmp(name, parts[i].name) == 0)
			return &parts[i];
	return NULL;
}

static void print_part(FILE *file, const struct part *part)
{
	fprintf(file, "%s: %s\n", part->name, part->summary);
	if (part->keys)
		fputs("\nKeys\n", file);
	for (const char *const *key = part->keys; key && *key; key++)
		fprintf(file, "  %s\n", *key);
	if (part->n_options)
		fputs("\nOptions\n", file);
	for (size_t i = 0; i < part->n_options; i++) {
		print_value(file, &part->options[i]);
		if (part->is_socket)
			print_change(file, &part->options[i]);
	}
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

static int describe_part(const struct part *part, bool json, FILE *file)
{
	if (json)
		return print_json(file, part_to_json(part));
	print_part(file, part);
	return ferror(file) ? -EIO : 0;
}

static const char ip_summary[] = "inet6 and inet together";

static int describe_all(struct families *families, bool json, FILE *file, struct report *report)
{
	json_t *array = json ? json_array() : NULL;
	int r;

	r = families_load_all(families, report);
	for (const struct family *family = families->first; family; family = family->next) {
		if (json)
			json_array_append_new(
				array,
				json_pack("{s:s, s:s, s:s}", "name", family->name, "summary",
					  family->plugin.summary ? family->plugin.summary : "",
					  "path", family->path));
		else
			fprintf(file, "%-10s  %s\n", family->name,
				family->plugin.summary ? family->plugin.summary : "");
	}
	if (json) {
		int printed = print_json(file, array);

		return printed < 0 ? printed : r;
	}
	if (families->first)
		fprintf(file, "%-10s  %s\n", IP_NAME, ip_summary);
	return r;
}

static int load(struct families *families, const char *name, const struct family **ret, struct report *report)
{
	char *why = NULL;
	int r = family_load(families, name, ret, &why);

	if (r < 0)
		report_add(report, "%s", why ? why : strerror(-r));
	free(why);
	return r;
}

/* No family of its own, but two. */
static int describe_ip(struct families *families, bool json, FILE *file, struct report *report)
{
	const struct family *six, *four;
	int r = load(families, ip_families[0], &six, report);

	if (!r)
		r = load(families, ip_families[1], &four, report);
	if (r)
		return r;
	if (json)
		return print_json(file, json_pack("{s:s, s:s, s:[o, o]}", "name", IP_NAME, "summary", ip_summary, "families",
						  family_to_json(six), family_to_json(four)));
	fprintf(file, "ip: %s; endpoint strings: tcp://HOST:PORT and udp://HOST:PORT\n\n", ip_summary);
	print_family(file, six);
	fputc('\n', file);
	print_family(file, four);
	return ferror(file) ? -EIO : 0;
}

int config_describe(struct families *families, const char *name, bool json, FILE *file,
		    struct report *report)
{
	const struct family *family;
	int r;

	if (!name)
		return describe_all(families, json, file, report);
	if (find_part(name))
		return describe_part(find_part(name), json, file);
	if (ip_is_name(name))
		return describe_ip(families, json, file, report);
	r = load(families, name, &family, report);
	if (r)
		return r;
	if (json)
		return print_json(file, family_to_json(family));
	print_family(file, family);
	return ferror(file) ? -EIO : 0;
}
