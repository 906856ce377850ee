/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an option accepts, in words, and what is wrong with a value: as it was written, with the
 * right one as far as that can be determined.
 */
#include "config/expect.h"

#include "base/text.h"
#include "config/check.h"
#include "config/host.h"
#include "language/setting.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

bool expect_has_range(const struct spliced_option *option)
{
	return option->min != 0 || option->max != 0;
}

/* Text as far as an error quotes it; a byte that is no UTF-8 as \xff. */
static void show_text(const char *from, char *text, size_t size)
{
	size_t len = 0, character;

	for (size_t at = 0; at < 60 && from[at] && len + 5 < size; at += character) {
		character = text_character_len(from + at, strlen(from + at));
		if (character && len + character < size)
			memcpy(text + len, from + at, character);
		len += character ? character
				 : (size_t)snprintf(text + len, size - len, "\\x%02x",
						    (unsigned char)from[at]);
		character = character ? character : 1;
	}
	text[len] = '\0';
}

/* A setting's text, decoded, as far as it fits. */
static const char *shown_text(const struct setting *setting, char *text, size_t size)
{
	snprintf(text, size, "%s", setting->text ? setting->text : "");
	if (setting->type == SETTING_TEXT && setting->text && strlen(setting->text) < size)
		text_decode_percent(setting->text, strlen(setting->text), text);
	return text;
}

/* The value as written, cut to what fits an error. */
static void show_setting(const struct setting *setting, char *text, size_t size)
{
	char decoded[256], part[240];

	shown_text(setting, decoded, sizeof(decoded));
	show_text(decoded, part, sizeof(part));
	if (setting->type == SETTING_STRING || setting->type == SETTING_TEXT)
		snprintf(text, size, "\"%s\"%s", part, strlen(decoded) > 60 ? " ..." : "");
	else if (setting->type == SETTING_NUMBER)
		snprintf(text, size, "%" PRId64, setting->number);
	else if (setting->type == SETTING_BOOL)
		snprintf(text, size, "%s", setting->number ? "true" : "false");
	else
		snprintf(text, size, "%s", setting_type_name(setting));
}

static const char *format_bound(const struct spliced_option *option, int64_t bound, char *text)
{
	if (option->type == SPLICED_DURATION)
		return text_format_duration(bound, text);
	if (option->type == SPLICED_SIZE)
		return text_format_size(bound, text);
	if (option->type == SPLICED_RATE)
		return text_format_rate(bound, text);
	snprintf(text, TEXT_NUMBER_MAX, "%" PRId64, bound);
	return text;
}

static void append_words(const struct spliced_option *option, char *text, size_t size)
{
	for (size_t i = 0, len = 0; option->words && option->words[i] && len < size; i++) {
		const char *before = i == 0 ? "" : option->words[i + 1] ? ", " : " or ";

		len += (size_t)snprintf(text + len, size - len, "%s\"%s\"", before,
					option->words[i]);
	}
}

static const char *type_expects(const struct spliced_option *option)
{
	switch ((enum spliced_option_type)option->type) {
	case SPLICED_BOOL:
		return "true or false";
	case SPLICED_NUMBER:
	case SPLICED_WORD_OR_NUMBER:
		return "a number";
	case SPLICED_STRING:
		return "a string";
	case SPLICED_WORD:
		return "a word";
	case SPLICED_SIZE:
		return "a size";
	case SPLICED_DURATION:
		return "a duration";
	case SPLICED_RATE:
		return "a rate";
	case SPLICED_MODE:
		return "a string of octal digits";
	case SPLICED_PATH:
		return "an absolute path, or '@' and a name";
	case SPLICED_INTERFACE:
		return "an interface's name, 1 to 15 bytes without blanks";
	case SPLICED_LIST:
		return "a list of strings";
	case SPLICED_HOST:
		return "an address, a host name, or \"\" for every address";
	}
	return "something else";
}

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

const char *expect_type_name(const struct spliced_option *option)
{
	return option->type < sizeof(type_names) / sizeof(type_names[0]) && type_names[option->type]
		       ? type_names[option->type]
		       : "unknown";
}

uint32_t expect_type_from_name(const char *name)
{
	uint32_t type = 0;

	while (type < sizeof(type_names) / sizeof(type_names[0]) &&
	       (!type_names[type] || strcmp(type_names[type], name) != 0))
		type++;
	return type;
}

/* How such a value is written, where that is not plain. */
static const char *type_example(const struct spliced_option *option)
{
	switch ((enum spliced_option_type)option->type) {
	case SPLICED_SIZE:
		return ", such as \"64K\" or \"1M\"";
	case SPLICED_DURATION:
		return ", such as \"250ms\", \"5s\" or \"1min\"";
	case SPLICED_RATE:
		return ", such as \"100/s\" or \"10M/s\"";
	case SPLICED_MODE:
		return ", such as \"0660\"";
	case SPLICED_LIST:
		return ", such as [ \"a\", \"b\" ]";
	case SPLICED_BOOL:
	case SPLICED_NUMBER:
	case SPLICED_WORD_OR_NUMBER:
	case SPLICED_STRING:
	case SPLICED_WORD:
	case SPLICED_PATH:
	case SPLICED_INTERFACE:
	case SPLICED_HOST:
		break;
	}
	return "";
}

const char *expect_text(const struct spliced_option *option, char *text, size_t size)
{
	char min[TEXT_NUMBER_MAX], max[TEXT_NUMBER_MAX], words[512] = "",
							 range[2 * TEXT_NUMBER_MAX + 16] = "";
	bool takes_words = option->type == SPLICED_WORD || option->type == SPLICED_WORD_OR_NUMBER;

	if (takes_words)
		append_words(option, words, sizeof(words));
	if (expect_has_range(option))
		snprintf(range, sizeof(range), " from %s to %s",
			 format_bound(option, option->min, min),
			 format_bound(option, option->max, max));
	if (option->type == SPLICED_WORD && *words)
		snprintf(text, size, "%s", words);
	else
		snprintf(text, size, "%s%s%s%s%s", words, *words ? ", or " : "",
			 type_expects(option), range, type_example(option));
	return text;
}

/* A bare number is seconds, or bytes: more or less than there may be, where another unit was meant.
 * NULL: none fits. */
static const char *find_unit(const struct spliced_option *option, const struct setting *setting,
			     char *text, size_t size)
{
	static const struct {
		const char *unit;
		int64_t factor;
	} durations[] = {{"ms", SECOND / 1000}, {"us", SECOND / 1000000}, {"min", 60 * SECOND}},
	  sizes[] = {{"K", 1 << 10}, {"M", 1 << 20}};
	bool is_duration = option->type == SPLICED_DURATION;
	int64_t number = setting->number;

	if ((!is_duration && option->type != SPLICED_SIZE) ||
	    (setting->type != SETTING_NUMBER &&
	     text_parse_number(setting->text ? setting->text : "", &number) < 0))
		return NULL;
	for (size_t i = 0; i < (is_duration ? sizeof(durations) / sizeof(durations[0])
					    : sizeof(sizes) / sizeof(sizes[0]));
	     i++) {
		int64_t factor = is_duration ? durations[i].factor : sizes[i].factor, value;

		if (number <= 0 || __builtin_mul_overflow(number, factor, &value) ||
		    value < option->min || value > option->max)
			continue;
		snprintf(text, size, "%" PRId64 "%s", number,
			 is_duration ? durations[i].unit : sizes[i].unit);
		return text;
	}
	return NULL;
}

/* A host with what does not belong to it: brackets, a port, a prefix. NULL: not that. */
static const char *find_host_fault(const char *text, char *remedy, size_t size)
{
	const char *colon = strrchr(text, ':'), *slash = strchr(text, '/');
	size_t len = strlen(text);
	struct host host;

	if (*text == '[' && text[len - 1] == ']' && len < size) {
		snprintf(remedy, size, "%.*s", (int)len - 2, text + 1);
		if (host_parse(remedy, &host) < 0)
			return NULL;
		snprintf(remedy, size, "write the address without brackets: \"%.*s\"", (int)len - 2,
			 text + 1);
	} else if (strcmp(text, "*") == 0) {
		snprintf(remedy, size, "write \"\" for every address");
	} else if (colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1) &&
		   (strchr(text, ':') == colon || *text == '[')) {
		snprintf(remedy, size, "set the port with port = %s", colon + 1);
	} else if (slash) {
		snprintf(remedy, size, "it must be a single address, without a prefix");
	} else {
		return NULL;
	}
	return remedy;
}

void expect_report(struct check *check, const struct spliced_option *option, const char *key,
		   const struct setting *setting, int r)
{
	struct text_nearest nearest;
	char shown[256], expected[640], remedy[320];
	const char *unit = r == -ERANGE ? find_unit(option, setting, remedy, sizeof(remedy)) : NULL;

	show_setting(setting, shown, sizeof(shown));
	text_nearest_init(&nearest, setting->text ? setting->text : "");
	for (int i = 0; setting->text && option->words && option->words[i]; i++)
		text_nearest_offer(&nearest, option->words[i]);
	if (r == -EILSEQ)
		check_error(check, setting->location,
			    "%s is %s; it contains bytes that are not UTF-8", key, shown);
	else if (unit)
		check_error(check, setting->location,
			    "%s is %s (without a unit: %s); it must be %s: did you mean \"%s\"?",
			    key, shown, option->type == SPLICED_DURATION ? "seconds" : "bytes",
			    expect_text(option, expected, sizeof(expected)), unit);
	else if (option->type == SPLICED_HOST && setting->text &&
		 find_host_fault(shown_text(setting, expected, sizeof(expected)), remedy,
				 sizeof(remedy)))
		check_error(check, setting->location, "%s is %s; %s", key, shown, remedy);
	else if (r == -ENODEV)
		check_error(check, setting->location, "%s is %s; there is no such interface here",
			    key, shown);
	else if (nearest.best)
		check_error(check, setting->location, "%s is %s; did you mean \"%s\"?", key, shown,
			    nearest.best);
	else
		check_error(check, setting->location, "%s is %s; it must be %s", key, shown,
			    expect_text(option, expected, sizeof(expected)));
}
