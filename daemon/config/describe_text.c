/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of --describe. Everything in it is in the JSON too, so that programs can show it. */
#include "config/describe_text.h"

#include "config/expect.h"
#include "config/ip.h"
#include "net/framing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "" where there is none. */
static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* "stream tcp" */
static void print_row_name(FILE *file, const json_t *row)
{
	const char *protocol = text_of(row, "protocol");

	fprintf(file, "%s%s%s", text_of(row, "type"), *protocol ? " " : "", protocol);
}

static void print_row(FILE *file, const json_t *row)
{
	const json_t *capabilities = json_object_get(row, "capabilities");
	json_int_t max_message = json_integer_value(json_object_get(row, "max_message"));

	fputs("  ", file);
	print_row_name(file, row);
	fprintf(file, "\n    endpoint      %s\n    capabilities  ", text_of(row, "written"));
	for (size_t i = 0; i < json_array_size(capabilities); i++)
		fprintf(file, "%s%s", i ? ", " : "",
			json_string_value(json_array_get(capabilities, i)));
	if (max_message)
		fprintf(file, "\n    message       at most %llu bytes",
			(unsigned long long)max_message);
	fputc('\n', file);
}

/* Which of the family's rows something is for, where it is not for all of them. */
static void print_rows(FILE *file, const json_t *rows, const json_t *numbers)
{
	if (!numbers || json_array_size(numbers) == json_array_size(rows))
		return;
	fputs("    only for      ", file);
	for (size_t i = 0; i < json_array_size(numbers); i++) {
		fputs(i ? ", " : "", file);
		print_row_name(file, json_array_get(rows, (size_t)json_integer_value(
								  json_array_get(numbers, i))));
	}
	fputc('\n', file);
}

/* What must be said: from the option that the JSON tells of. 0 or -ENOMEM. */
static int print_expected(FILE *file, const json_t *json)
{
	const json_t *words = json_object_get(json, "words");
	size_t n = json_array_size(words);
	const char **texts = calloc(n + 1, sizeof(*texts));
	struct spliced_option option = {
		.type = expect_type_from_name(text_of(json, "type")),
		.min = json_integer_value(json_object_get(json, "min")),
		.max = json_integer_value(json_object_get(json, "max")),
		.words = texts,
	};
	char text[640];

	for (size_t i = 0; texts && i < n; i++)
		texts[i] = json_string_value(json_array_get(words, i));
	if (texts)
		fprintf(file, "    %-12s  %s\n", text_of(json, "type"),
			expect_text(&option, text, sizeof(text)));
	free(texts);
	return texts ? 0 : -ENOMEM;
}

static void print_default(FILE *file, const json_t *option)
{
	const char *text = json_string_value(json_object_get(option, "default"));

	if (json_is_true(json_object_get(option, "required")))
		fputs("    required\n", file);
	else if (text)
		fprintf(file, "    default       %s\n", *text ? text : "\"\"");
}

/* An option of a family with these rows, or one of a part of the file. */
static int print_option(FILE *file, const json_t *rows, const json_t *option)
{
	const json_t *roles = json_object_get(option, "roles");
	const char *change = text_of(option, "change");
	int r;

	fprintf(file, "  %s\n    %s\n", text_of(option, "name"), text_of(option, "doc"));
	r = print_expected(file, option);
	print_default(file, option);
	if (json_array_size(roles) == 1)
		fprintf(file, "    only for      %s\n",
			strcmp(json_string_value(json_array_get(roles, 0)), "listen") == 0
				? "listen"
				: "target, dial");
	print_rows(file, rows, json_object_get(option, "rows"));
	if (*change)
		fprintf(file, "    a change      %s\n",
			strcmp(change, "live") == 0 ? "applies to the open socket"
						    : "requires a new socket");
	return r;
}

static int print_options(FILE *file, const json_t *object)
{
	const json_t *options = json_object_get(object, "options"),
		     *rows = json_object_get(object, "rows");
	int r = 0;

	if (rows || json_array_size(options))
		fputs("\nOptions\n", file);
	for (size_t i = 0; i < json_array_size(options) && r == 0; i++)
		r = print_option(file, rows, json_array_get(options, i));
	return r;
}

static void print_format(FILE *file, const json_t *rows, const json_t *format)
{
	const char *framing = text_of(format, "framing");

	fprintf(file, "  %s\n    %s\n", text_of(format, "name"), text_of(format, "doc"));
	if (strcmp(framing, framing_name(SPLICED_FRAMING_NONE)) == 0)
		fputs("    on a stream   frames itself\n", file);
	else if (*framing)
		fprintf(file, "    on a stream   framing = %s\n", framing);
	print_rows(file, rows, json_object_get(format, "rows"));
}

static int print_family(FILE *file, const json_t *family)
{
	const json_t *abi = json_object_get(family, "abi"), *rows = json_object_get(family, "rows");
	const json_t *formats = json_object_get(family, "formats");
	int r;

	fprintf(file, "%s: %s\n(%s, ABI %d.%d)\n\nTypes\n", text_of(family, "name"),
		text_of(family, "summary"), text_of(family, "path"),
		(int)json_integer_value(json_array_get(abi, 0)),
		(int)json_integer_value(json_array_get(abi, 1)));
	for (size_t i = 0; i < json_array_size(rows); i++)
		print_row(file, json_array_get(rows, i));
	r = print_options(file, family);
	if (json_array_size(formats))
		fputs("\nFormats\n", file);
	for (size_t i = 0; i < json_array_size(formats); i++)
		print_format(file, rows, json_array_get(formats, i));
	return r;
}

static int print_families(FILE *file, const json_t *object, const json_t *families)
{
	int r = 0;

	fprintf(file, "%s: %s; endpoint strings: tcp://HOST:PORT and udp://HOST:PORT\n",
		text_of(object, "name"), text_of(object, "summary"));
	for (size_t i = 0; i < json_array_size(families) && r == 0; i++) {
		fputc('\n', file);
		r = print_family(file, json_array_get(families, i));
	}
	return r;
}

static int print_part(FILE *file, const json_t *part)
{
	const json_t *keys = json_object_get(part, "keys");

	fprintf(file, "%s: %s\n", text_of(part, "name"), text_of(part, "summary"));
	if (json_array_size(keys))
		fputs("\nKeys\n", file);
	for (size_t i = 0; i < json_array_size(keys); i++)
		fprintf(file, "  %s\n", json_string_value(json_array_get(keys, i)));
	return print_options(file, part);
}

static void print_reasons(FILE *file, const char *heading, const json_t *reasons)
{
	fprintf(file, "\n%s\n", heading);
	for (size_t i = 0; i < json_array_size(reasons); i++)
		fprintf(file, "  %-20s  %s\n", text_of(json_array_get(reasons, i), "name"),
			text_of(json_array_get(reasons, i), "help"));
}

static int print_counters(FILE *file, const json_t *object, const json_t *counters)
{
	char heading[64];
	const char *plugin;
	json_t *counted;

	fprintf(file, "%s: %s\n\nCounters\n", text_of(object, "name"), text_of(object, "summary"));
	for (size_t i = 0; i < json_array_size(counters); i++) {
		const json_t *counter = json_array_get(counters, i);
		const char *metric = text_of(counter, "metric");
		const char *direction = text_of(counter, "direction");

		fprintf(file, "  %-20s  %s\n", text_of(counter, "path"), text_of(counter, "help"));
		if (*metric)
			fprintf(file, "    metric            %s%s%s%s\n", metric,
				*direction ? "{direction=\"" : "", direction,
				*direction ? "\"}" : "");
		fprintf(file, "    unit              %s, %s\n", text_of(counter, "unit"),
			text_of(counter, "kind"));
	}
	print_reasons(file, "Reasons to refuse a client", json_object_get(object, "refused"));
	print_reasons(file, "Reasons to drop a message", json_object_get(object, "dropped"));
	json_object_foreach(json_object_get(object, "plugins"), plugin, counted)
	{
		snprintf(heading, sizeof heading, "Family %s", plugin);
		print_reasons(file, heading, counted);
	}
	return 0;
}

static int print_list(FILE *file, const json_t *families)
{
	for (size_t i = 0; i < json_array_size(families); i++)
		fprintf(file, "%-10s  %s\n", text_of(json_array_get(families, i), "name"),
			text_of(json_array_get(families, i), "summary"));
	if (json_array_size(families))
		fprintf(file, "%-10s  %s\n", IP_NAME, IP_SUMMARY);
	return 0;
}

int describe_text_print(const json_t *described, FILE *file)
{
	const json_t *families = json_object_get(described, "families");
	const json_t *counters = json_object_get(described, "counters");
	int r;

	if (json_is_array(described))
		r = print_list(file, described);
	else if (families)
		r = print_families(file, described, families);
	else if (json_object_get(described, "rows"))
		r = print_family(file, described);
	else if (counters)
		r = print_counters(file, described, counters);
	else
		r = print_part(file, described);
	if (json_object_get(described, "rows") && json_array_size(counters))
		print_reasons(file, "Counters", counters);
	return r == 0 && ferror(file) ? -EIO : r;
}
