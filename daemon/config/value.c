/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The types of options. A setting comes as libconfig's type or, from an endpoint string or an
 * option's default, as percent-encoded text that reads as any type; both end in the same struct
 * spliced_value.
 *
 * A value is copied into the config's memory; nothing of it points into the tree.
 */
#include "config/value.h"

#include "base/arena.h"
#include "base/text.h"
#include "config/check.h"
#include "config/expect.h"
#include "config/host.h"
#include "language/setting.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

/* 0 or -ERANGE. */
static int set_number(const struct spliced_option *option, int64_t number,
		      struct spliced_value *value)
{
	bool may_be_negative =
		option->type == SPLICED_NUMBER || option->type == SPLICED_WORD_OR_NUMBER;

	if (expect_has_range(option) && (number < option->min || number > option->max))
		return -ERANGE;
	if (number < 0 && !may_be_negative)
		return -ERANGE;
	value->number = number;
	return 0;
}

static int set_word(const struct spliced_option *option, const char *text,
		    struct spliced_value *value)
{
	for (int i = 0; option->words && option->words[i]; i++) {
		if (strcmp(option->words[i], text) == 0) {
			value->number = i;
			value->text = option->words[i];
			return 0;
		}
	}
	return -EINVAL;
}

static bool is_utf8(const char *text)
{
	size_t len = strlen(text);

	return text_utf8_len(text, len) == len;
}

static int set_text(struct arena *arena, const struct spliced_option *option, const char *text,
		    struct spliced_value *value)
{
	struct host host;
	int r = 0;

	/* A file's name may have any bytes; everything else is shown to people, and in JSON. */
	if (option->type != SPLICED_PATH && !is_utf8(text))
		return -EILSEQ;
	if (option->type == SPLICED_PATH && *text != '/' && *text != '@')
		return -EINVAL;
	if (option->type == SPLICED_INTERFACE && !host_is_interface(text))
		return -EINVAL;
	if (option->type == SPLICED_HOST)
		r = host_parse(text, &host);
	if (r < 0)
		return r;
	value->text = arena_copy_text(arena, text);
	return value->text ? 0 : -ENOMEM;
}

/* A scalar type's value from plain text. */
static int set_from_text(struct arena *arena, const struct spliced_option *option, const char *text,
			 struct spliced_value *value)
{
	int64_t number = 0;
	bool yes = false;
	int r = 0;

	switch ((enum spliced_option_type)option->type) {
	case SPLICED_BOOL:
		r = text_parse_bool(text, &yes);
		value->number = yes;
		return r;
	case SPLICED_WORD_OR_NUMBER:
		if (set_word(option, text, value) == 0)
			return 0;
		r = text_parse_number(text, &number);
		break;
	case SPLICED_NUMBER:
		r = text_parse_number(text, &number);
		break;
	case SPLICED_SIZE:
		r = text_parse_size(text, &number);
		break;
	case SPLICED_DURATION:
		r = text_parse_duration(text, &number);
		break;
	case SPLICED_RATE:
		r = text_parse_rate(text, &number);
		break;
	case SPLICED_MODE:
		r = text_parse_mode(text, &value->number);
		return r;
	case SPLICED_WORD:
		return set_word(option, text, value);
	case SPLICED_STRING:
	case SPLICED_PATH:
	case SPLICED_INTERFACE:
	case SPLICED_HOST:
		return set_text(arena, option, text, value);
	case SPLICED_LIST:
		return -EINVAL;
	}
	return r < 0 ? r : set_number(option, number, value);
}

/* Room for a list; *texts is writable until it is full. */
static int new_list(struct arena *arena, size_t n, struct spliced_value *value, const char ***texts)
{
	*texts = arena_take(arena, n, sizeof(**texts));
	if (!*texts)
		return -ENOMEM;
	value->list = *texts;
	value->list_len = (uint32_t)n;
	return 0;
}

static int decode(struct arena *arena, const char *text, size_t len, const char **ret)
{
	char *decoded = arena_take(arena, len + 1, 1);

	*ret = decoded;
	return decoded ? text_decode_percent(text, len, decoded) : -ENOMEM;
}

/* "link,addr": commas part, "" is an empty list. */
static int set_list_from_encoded(struct arena *arena, const char *text, struct spliced_value *value)
{
	const char **texts;
	size_t n = *text != '\0';
	int r;

	for (const char *at = text; *at; at++)
		n += *at == ',';
	r = new_list(arena, n, value, &texts);
	for (size_t i = 0; i < n && r == 0; i++) {
		size_t len = strcspn(text, ",");

		r = decode(arena, text, len, &texts[i]);
		if (r == 0 && !is_utf8(texts[i]))
			r = -EILSEQ;
		text += len + 1;
	}
	return r;
}

static int set_from_encoded(struct arena *arena, const struct spliced_option *option,
			    const char *text, struct spliced_value *value)
{
	const char *decoded;
	int r;

	if (option->type == SPLICED_LIST)
		return set_list_from_encoded(arena, text, value);
	r = decode(arena, text, strlen(text), &decoded);
	return r < 0 ? r : set_from_text(arena, option, decoded, value);
}

static int set_list(struct arena *arena, const struct setting *setting, struct spliced_value *value)
{
	const char **texts;
	size_t i = 0;
	int r;

	for (const struct setting *element = setting->first; element; element = element->next)
		if (element->type != SETTING_STRING || !is_utf8(element->text))
			return element->type == SETTING_STRING ? -EILSEQ : -EINVAL;
	r = new_list(arena, setting->n, value, &texts);
	for (const struct setting *element = setting->first; element && r == 0;
	     element = element->next) {
		texts[i] = arena_copy_text(arena, element->text);
		r = texts[i++] ? 0 : -ENOMEM;
	}
	return r;
}

static int set_from_integer(const struct spliced_option *option, int64_t number,
			    struct spliced_value *value)
{
	switch ((enum spliced_option_type)option->type) {
	case SPLICED_DURATION:
		return set_number(option, number < 0 ? -1 : number * SECOND, value);
	case SPLICED_NUMBER:
	case SPLICED_WORD_OR_NUMBER:
	case SPLICED_SIZE:
	case SPLICED_RATE:
		return set_number(option, number, value);
	case SPLICED_BOOL:
	case SPLICED_STRING:
	case SPLICED_WORD:
	case SPLICED_MODE:
	case SPLICED_PATH:
	case SPLICED_INTERFACE:
	case SPLICED_LIST:
	case SPLICED_HOST:
		break;
	}
	return -EINVAL;
}

static int set_from_setting(struct arena *arena, const struct spliced_option *option,
			    const struct setting *setting, struct spliced_value *value)
{
	switch (setting->type) {
	case SETTING_TEXT:
		return set_from_encoded(arena, option, setting->text, value);
	case SETTING_STRING:
		return option->type == SPLICED_BOOL
			       ? -EINVAL
			       : set_from_text(arena, option, setting->text, value);
	case SETTING_NUMBER:
		return set_from_integer(option, setting->number, value);
	case SETTING_BOOL:
		value->number = setting->number;
		return option->type == SPLICED_BOOL ? 0 : -EINVAL;
	case SETTING_LIST:
		return option->type == SPLICED_LIST ? set_list(arena, setting, value) : -EINVAL;
	case SETTING_GROUP:
		break;
	}
	return -EINVAL;
}

int value_read(struct check *check, const struct spliced_option *option, const char *key,
	       const struct setting *setting, struct config_value *value)
{
	struct config_value read = {.location = setting->location};
	int r;

	if (setting->damaged)
		return 0;
	r = set_from_setting(check->arena, option, setting, &read.value);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		expect_report(check, option, key, setting, r);
		return 0;
	}
	read.value.state =
		check->generation && setting->location.line == 0 ? SPLICED_DEFAULT : SPLICED_SET;
	*value = read;
	return 0;
}

int value_set_default(struct arena *arena, const struct spliced_option *option,
		      struct spliced_value *value)
{
	struct spliced_value read = {.state = SPLICED_DEFAULT};
	int r;

	if (!option->default_text)
		return 0;
	r = set_from_encoded(arena, option, option->default_text, &read);
	if (r == 0)
		*value = read;
	return r == -ENOMEM ? r : r < 0 ? -EINVAL : 0;
}

void value_print_string(FILE *file, const char *text)
{
	fputc('"', file);
	for (size_t character; *text; text += character ? character : 1) {
		character = text_character_len(text, strlen(text));
		if (character == 0)
			fprintf(file, "\\x%02x", (unsigned char)*text);
		else if (character > 1)
			fwrite(text, 1, character, file);
		else if (*text == '"' || *text == '\\')
			fprintf(file, "\\%c", *text);
		else if ((unsigned char)*text < ' ' || *text == 0x7f)
			fprintf(file, "\\x%02x", (unsigned char)*text);
		else
			fputc(*text, file);
	}
	fputc('"', file);
}

static void print_list(FILE *file, const struct spliced_value *value)
{
	fputs("[ ", file);
	for (uint32_t i = 0; i < value->list_len; i++) {
		if (i > 0)
			fputs(", ", file);
		value_print_string(file, value->list[i]);
	}
	fputs(value->list_len ? " ]" : "]", file);
}

static void print_number(FILE *file, int64_t number)
{
	bool fits = number >= INT32_MIN && number <= INT32_MAX;

	fprintf(file, fits ? "%" PRId64 : "\"%" PRId64 "\"", number);
}

void value_print(FILE *file, const struct spliced_option *option, const struct spliced_value *value)
{
	char text[TEXT_NUMBER_MAX];

	switch ((enum spliced_option_type)option->type) {
	case SPLICED_BOOL:
		fputs(value->number ? "true" : "false", file);
		return;
	case SPLICED_NUMBER: /* "+N": port.h */
	case SPLICED_WORD_OR_NUMBER:
		if (value->text)
			value_print_string(file, value->text);
		else
			print_number(file, value->number);
		return;
	case SPLICED_SIZE:
		value_print_string(file, text_format_size(value->number, text));
		return;
	case SPLICED_DURATION:
		value_print_string(file, text_format_duration(value->number, text));
		return;
	case SPLICED_RATE:
		value_print_string(file, text_format_rate(value->number, text));
		return;
	case SPLICED_MODE:
		fprintf(file, "\"%04" PRIo64 "\"", value->number);
		return;
	case SPLICED_STRING:
	case SPLICED_WORD:
	case SPLICED_PATH:
	case SPLICED_INTERFACE:
	case SPLICED_HOST:
		value_print_string(file, value->text);
		return;
	case SPLICED_LIST:
		print_list(file, value);
		return;
	}
}

bool value_equal(const struct spliced_option *option, const struct spliced_value *a,
		 const struct spliced_value *b)
{
	(void)option;
	if (!a->state != !b->state || a->number != b->number || a->list_len != b->list_len ||
	    !a->text != !b->text)
		return false;
	if (a->text && strcmp(a->text, b->text) != 0)
		return false;
	for (uint32_t i = 0; i < a->list_len; i++)
		if (strcmp(a->list[i], b->list[i]) != 0)
			return false;
	return true;
}
