/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Endpoint strings. They are only another spelling: after this there is only the group, whose
 * values are still percent-encoded (SETTING_TEXT), because whether a comma separates list elements
 * or belongs to a file's name depends on the option's type.
 *
 * The address follows the pattern of the family's row, so that a new family's strings need no code
 * here. A pattern is option names in capitals with single bytes between them.
 */
#include "config/scheme.h"

#include "base/arena.h"
#include "base/report.h"
#include "base/text.h"
#include "config/check.h"
#include "config/ip.h"
#include "config/schema.h"
#include "config/spelling.h"
#include "language/setting.h"
#include "net/address.h"
#include "net/passed.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* The meaning of a scheme. */
struct meaning {
	const char *family;
	int type;	      /* -1: the family's first row */
	const char *protocol; /* or NULL */
};

/* A row of a loaded family with that scheme. */
static bool find_row(const struct families *families, const char *scheme, struct meaning *ret)
{
	for (const struct family *family = families->first; family; family = family->next) {
		for (uint32_t i = 0; i < family->plugin.n_rows; i++) {
			const struct spliced_row *row = &family->rows[i];

			if (!row->scheme || strcmp(row->scheme, scheme) != 0)
				continue;
			*ret = (struct meaning){
				.family = family->name, .type = row->type, .protocol = row->name};
			return true;
		}
	}
	return false;
}

static bool load(struct families *families, const char *name)
{
	const struct family *family;
	char *why = NULL;
	int r;

	r = family_load(families, name, &family, &why);
	free(why);
	return r >= 0;
}

/* The everyday schemes. */
static bool find_everyday(struct families *families, const char *scheme, struct meaning *ret)
{
	for (const struct schema_scheme *known = schema_schemes; known->scheme; known++) {
		if (strcmp(known->scheme, scheme) != 0)
			continue;
		if (known->type < 0)
			return load(families, known->family) && find_row(families, scheme, ret);
		*ret = (struct meaning){.family = known->family, .type = known->type};
		return true;
	}
	return false;
}

static bool is_family(struct families *families, const char *name)
{
	return ip_is_name(name) || load(families, name);
}

/* FAMILY, FAMILY-TYPE. */
static int find_family(struct check *check, const char *scheme, struct meaning *ret)
{
	const char *dash = strrchr(scheme, '-');
	int type = dash ? family_type_from_name(dash + 1) : -1;
	char *name = arena_copy(check->scratch, scheme,
				type >= 0 ? (size_t)(dash - scheme) : strlen(scheme));

	if (!name)
		return -ENOMEM;
	if (!is_family(check->families, name))
		return 0;
	*ret = (struct meaning){.family = name, .type = type};
	return 0;
}

/* Finds what a scheme means; family NULL: it means nothing, which is reported. Families are loaded
 * only as far as it takes. */
static int find_scheme(struct check *check, const struct setting *string, const char *scheme,
		       struct meaning *ret)
{
	struct report ignored = {0};
	int r;

	*ret = (struct meaning){0};
	if (find_everyday(check->families, scheme, ret))
		return 0;
	r = find_family(check, scheme, ret);
	if (r < 0 || ret->family)
		return r;
	families_load_all(check->families, &ignored);
	report_done(&ignored);
	if (!find_row(check->families, scheme, ret))
		spelling_report_scheme(check, string, scheme);
	return 0;
}

static int add_text(struct check *check, struct setting *group, const char *name, const char *text)
{
	struct setting *setting =
		setting_add(check->scratch, group, SETTING_TEXT, name, group->location);

	if (!setting)
		return -ENOMEM;
	setting->text = text;
	return 0;
}

/* Is the text well encoded? Reports it if not. */
static bool is_encoded(struct check *check, const struct setting *group, const char *name,
		       const char *text)
{
	const char *percent = text;
	char decoded[2];

	while ((percent = strchr(percent, '%')) &&
	       text_decode_percent(percent, strnlen(percent, 3), decoded) == 0)
		percent += 3;
	if (!percent)
		return true;
	check_error(
		check, group->location,
		"%s is \"%s\"; '%%' must be followed by two hexadecimal digits; write %%25 for a percent sign",
		name, text);
	return false;
}

static int add_option(struct check *check, struct setting *group, char *option)
{
	char *equals = strchr(option, '=');

	if (!equals || equals == option) {
		check_error(
			check, group->location,
			"\"%s\" after '?' is not an option; write option=value, separated by '&'",
			option);
		return 0;
	}
	*equals = '\0';
	if (strcmp(option, "family") == 0 || strcmp(option, "type") == 0) {
		check_error(check, group->location,
			    "\"%s\" after '?' is redundant; the scheme sets it", option);
		return 0;
	}
	if (setting_find(group, option)) {
		check_error(check, group->location, "\"%s\" is set twice; keep one of them",
			    option);
		return 0;
	}
	if (!is_encoded(check, group, option, equals + 1))
		return 0;
	return add_text(check, group, option, equals + 1);
}

static int add_options(struct check *check, struct setting *group, char *options)
{
	char *option;
	int r;

	while ((option = strsep(&options, "&"))) {
		r = add_option(check, group, option);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_meaning(struct check *check, struct setting *group, const struct meaning *meaning)
{
	int r;

	r = add_text(check, group, "family", meaning->family);
	if (r == 0 && meaning->type >= 0)
		r = add_text(check, group, "type", family_type_name(meaning->type));
	if (r == 0 && meaning->protocol && !setting_find(group, "protocol"))
		r = add_text(check, group, "protocol", meaning->protocol);
	return r;
}

static void report_passed(struct check *check, const struct setting *string)
{
	char names[512] = "";
	size_t len = 0;

	for (unsigned i = 0; passed_at(i) && len < sizeof(names); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s\"%s\"", i ? ", " : "",
					passed_at(i)->name);
	check_error(
		check, string->location,
		"\"%s\": systemd passes no socket of this name; it passes %s: set the name with FileDescriptorName= in the socket unit, and "
		"the socket unit with Sockets= in the service",
		string->text, names);
}

/* "fd://NAME": the family and address are those of the socket that systemd passes under this name.
 * If no sockets are passed at all, the file is only being checked: a UNIX socket is assumed
 * then. */
static int find_passed(struct check *check, const struct setting *string, const char *name,
		       struct meaning *ret, const char **address)
{
	const struct passed *passed = passed_find(name);
	const char *family_name = passed ? passed_family(passed) : NULL;
	const struct family *family;
	const struct spliced_row *row = NULL;
	char text[ADDRESS_TEXT_MAX], encoded[3 * ADDRESS_TEXT_MAX];

	if (!passed && !passed_at(0)) {
		*ret = (struct meaning){.family = "unix", .type = SOCK_STREAM};
		*address = arena_print(check->scratch, "/fd/%s", name);
		return *address ? 0 : -ENOMEM;
	}
	if (!passed) {
		report_passed(check, string);
		return 0;
	}
	if (family_name && load(check->families, family_name)) {
		family = family_find(check->families, family_name);
		for (uint32_t i = 0; i < family->plugin.n_rows && !row; i++)
			if (family->rows[i].type == passed->type &&
			    (!family->rows[i].protocol ||
			     family->rows[i].protocol == passed->protocol))
				row = &family->rows[i];
	}
	if (!row) {
		check_error(
			check, string->location,
			"\"%s\": systemd passes a socket of a kind that no family here can listen on",
			string->text);
		return 0;
	}
	*ret = (struct meaning){.family = family->name, .type = row->type};
	if (strstr(row->pattern, "PROTOCOL")) {
		*address = row->name;
		return 0;
	}
	ret->protocol = row->name;
	address_describe(family, row, &passed->address, text, sizeof(text));
	text_encode_percent(text, "/@:[].", encoded, sizeof(encoded));
	*address = arena_copy_text(check->scratch, encoded);
	return *address ? 0 : -ENOMEM;
}

int scheme_split(struct check *check, const struct setting *string, struct setting **ret,
		 const char **address)
{
	char *text = arena_copy_text(check->scratch, string->text), *colon, *question;
	struct meaning meaning;
	struct setting *group;
	bool is_passed;
	int r;

	*ret = NULL;
	if (!text)
		return -ENOMEM;
	colon = strstr(text, "://");
	if (!colon) {
		spelling_report_string(check, string);
		return 0;
	}
	*colon = '\0';
	*address = colon + 3;
	question = strchr(colon + 3, '?');
	if (question)
		*question = '\0';
	is_passed = strcmp(text, "fd") == 0;
	if (is_passed) {
		meaning = (struct meaning){0};
		r = find_passed(check, string, colon + 3, &meaning, address);
	} else {
		r = find_scheme(check, string, text, &meaning);
	}
	if (r < 0 || !meaning.family)
		return r;
	group = setting_add(check->scratch, NULL, SETTING_GROUP, string->name, string->location);
	if (!group)
		return -ENOMEM;
	if (question)
		r = add_options(check, group, question + 1);
	if (r == 0 && is_passed)
		r = add_text(check, group, "fd", colon + 3);
	if (r == 0)
		r = add_meaning(check, group, &meaning);
	*ret = group;
	return r;
}

/* The next option name of a pattern, in small letters, and the byte behind it, NUL at the end. */
static char *next_field(struct arena *arena, const char **pattern, char *separator)
{
	size_t len = strspn(*pattern, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
	char *name = arena_copy(arena, *pattern, len);

	if (!name)
		return NULL;
	for (char *at = name; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	*separator = (*pattern)[len];
	*pattern += len + (*separator != '\0');
	return name;
}

/* "[fe80::1%eth0]": what is between the brackets, with '%' encoded. RFC 6874 has the '%' as "%25"
 * already. */
static char *take_bracketed(struct arena *arena, const char *address, const char *end)
{
	char inner[512], encoded[1600];
	const char *percent;
	size_t len = (size_t)(end - address) - 1;

	if (len >= sizeof(inner))
		len = sizeof(inner) - 1;
	memcpy(inner, address + 1, len);
	inner[len] = '\0';
	percent = strstr(inner, "%25");
	if (percent)
		memmove(inner + (percent - inner) + 1, percent + 3, strlen(percent + 3) + 1);
	text_encode_percent(inner, ":", encoded, sizeof(encoded));
	return arena_copy_text(arena, encoded);
}

/* Takes one field's text from *address, which moves behind the separator, or becomes NULL at the
 * end. NULL without memory. */
static char *take_field(struct arena *arena, const char **address, char separator)
{
	const char *end = *address + strlen(*address),
		   *bracket = **address == '[' ? strchr(*address, ']') : NULL;
	char *text;

	if (bracket && (bracket[1] == separator || bracket[1] == '\0')) {
		text = take_bracketed(arena, *address, bracket);
		end = bracket + 1;
	} else {
		if (separator && strchr(*address, separator))
			end = strchr(*address, separator);
		text = arena_copy(arena, *address, (size_t)(end - *address));
	}
	*address = *end ? end + 1 : NULL;
	return text;
}

static int add_field(struct check *check, struct setting *group, const char *name, const char *text,
		     bool *well)
{
	if (setting_find(group, name)) {
		check_error(check, group->location,
			    "\"%s\" after '?' is redundant; the address sets it", name);
		*well = false;
	} else if (!is_encoded(check, group, name, text)) {
		*well = false;
	} else {
		return add_text(check, group, name, text);
	}
	return 0;
}

/* "::1:80" is ambiguous, so an IPv6 address must be in brackets. */
static bool is_ambiguous(const char *pattern, const char *address)
{
	const char *colon = strchr(address, ':');

	return strcmp(pattern, "HOST:PORT") == 0 && *address != '[' && colon &&
	       strchr(colon + 1, ':');
}

int scheme_add_address(struct check *check, struct setting *group, const char *pattern,
		       const char *address, bool *well)
{
	const char *whole = pattern;
	char separator, *name, *text;
	int r = 0;

	*well = !is_ambiguous(pattern, address);
	if (!*well)
		check_error(check, group->location,
			    "address \"%s\" has several colons; write an IPv6 address in brackets, "
			    "such as [::1]:80",
			    address);
	while (*well && r == 0 && *pattern && address) {
		name = next_field(check->scratch, &pattern, &separator);
		text = name ? take_field(check->scratch, &address, separator) : NULL;
		if (!text)
			return -ENOMEM;
		/* An empty first field is a value ("tcp://:80"), an empty last one is none
		 * ("tcp://localhost:"). */
		if (*text || separator)
			r = add_field(check, group, name, text, well);
	}
	if (*well && r == 0 && address) {
		check_error(check, group->location,
			    "unexpected \"%s\" at the end of the address; it must be %s", address,
			    whole);
		*well = false;
	}
	return r;
}

static char *print_field(struct arena *arena, const struct spliced_option *option,
			 const struct spliced_value *value)
{
	const char *keep;
	size_t len;
	char *text;

	if (!value->text)
		return value->state == SPLICED_UNSET
			       ? arena_copy_text(arena, "")
			       : arena_print(arena, "%lld", (long long)value->number);
	if (option->type == SPLICED_HOST)
		return arena_print(arena, strchr(value->text, ':') ? "[%s]" : "%s", value->text);
	keep = option->type == SPLICED_NUMBER ? "+" : "/@:"; /* "+N": port.h */
	len = text_encode_percent(value->text, keep, NULL, 0);
	text = arena_take(arena, len + 1, 1);
	if (text)
		text_encode_percent(value->text, keep, text, len + 1);
	return text;
}

static const char *scheme_of(const struct config_endpoint *endpoint, char *text, size_t size)
{
	const struct config_leg *leg = &endpoint->legs[0];
	bool is_first = leg->row->type == leg->family->rows[0].type;

	if (leg->row->scheme && strcmp(endpoint->family, leg->family->name) == 0)
		return leg->row->scheme;
	for (const struct schema_scheme *known = schema_schemes; known->scheme; known++)
		if (known->type == leg->row->type && strcmp(known->family, endpoint->family) == 0)
			return known->scheme;
	snprintf(text, size, "%s%s%s", endpoint->family, is_first ? "" : "-",
		 is_first ? "" : family_type_name(leg->row->type));
	return text;
}

int scheme_print(struct check *check, const struct config_endpoint *endpoint, char **ret)
{
	const struct config_leg *leg = &endpoint->legs[0];
	const char *pattern = leg->row->pattern ? leg->row->pattern : "";
	char separator, *name, *field = NULL, scheme[64];

	*ret = arena_print(check->arena, "%s://", scheme_of(endpoint, scheme, sizeof(scheme)));
	while (*ret && *pattern) {
		const struct spliced_option *option; /* NULL: the field is PROTOCOL */

		name = next_field(check->scratch, &pattern, &separator);
		if (!name)
			return -ENOMEM;
		option = family_option(leg->family, name);
		field = option ? print_field(check->scratch, option,
					     &leg->values[option - leg->family->options].value)
			       : arena_copy_text(check->scratch,
						 leg->row->name ? leg->row->name : "");
		if (!field)
			return -ENOMEM;
		*ret = arena_print(check->arena, separator ? "%s%s%c" : "%s%s", *ret, field,
				   separator);
	}
	if (*ret && endpoint->service) /* without a port */
		(*ret)[strlen(*ret) - 1] = '\0';
	return *ret ? 0 : -ENOMEM;
}
