/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An endpoint of a family, made in a test from words, and what the family said against it. */
#pragma once

#include "compile.h"
#include "net/address.h"
#include "net/family.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>

struct endpoint {
	struct spliced_value values[FAMILY_OPTIONS_MAX];
	struct spliced_options options;
};

/* The last error that a plugin said, and the option it was about. */
static char endpoint_error[512];
static int endpoint_error_option;

__attribute__((format(printf, 3, 4))) static inline void
endpoint_say(const struct spliced_options *options, int option, const char *format, ...)
{
	va_list args;

	(void)options;
	va_start(args, format);
	vsnprintf(endpoint_error, sizeof endpoint_error, format, args);
	va_end(args);
	endpoint_error_option = option;
}

/* The plugins that are built, not those that are installed. */
static inline const struct family *endpoint_family(struct families *families, const char *name)
{
	const struct family *family;
	char *why;

	if (!families->dir)
		ck_assert_int_eq(families_init(families,
					       compile_environment("SPLICED_PLUGIN_DIR", "plugins"),
					       geteuid()),
				 0);
	ck_assert_msg(family_load(families, name, &family, &why) == 0, "%s", why);
	free(why);
	return family;
}

/* As the parser of configs would, for what tests write. */
static inline void endpoint_set(const struct spliced_option *option, struct spliced_value *value,
				const char *text)
{
	char *end;

	value->text = text;
	switch (option->type) {
	case SPLICED_BOOL:
		value->number = !strcmp(text, "true");
		break;
	case SPLICED_MODE:
		value->number = strtoll(text, NULL, 8);
		break;
	case SPLICED_NUMBER:
		value->number = strtoll(text, NULL, 0);
		break;
	case SPLICED_DURATION:
		value->number =
			strtoll(text, &end, 10) * (strcmp(end, "ms") ? 1000000000 : 1000000);
		break;
	case SPLICED_WORD:
		while (option->words[value->number] &&
		       strcmp(option->words[value->number], text) != 0)
			value->number++;
		break;
	}
}

/* row: "tcp", or NULL for the first. Then pairs of an option's name and its value, and NULL. */
__attribute__((sentinel)) static inline const struct spliced_options *
endpoint_make(struct endpoint *endpoint, const struct family *family, const char *row,
	      enum spliced_role role, ...)
{
	static const struct spliced_host host = {
		.size = sizeof host, .abi_minor = SPLICED_ABI_MINOR, .error = endpoint_say};
	const struct spliced_option *option;
	const char *name;
	va_list args;
	uint32_t i;

	memset(endpoint, 0, sizeof *endpoint);
	for (i = 0; i < family->plugin.n_options; i++) {
		option = &family->options[i];
		if (!option->default_text || (option->roles && !(option->roles & role)))
			continue;
		endpoint->values[i].state = SPLICED_DEFAULT;
		endpoint_set(option, &endpoint->values[i], option->default_text);
	}
	va_start(args, role);
	while ((name = va_arg(args, const char *))) {
		for (i = 0;
		     i < family->plugin.n_options && strcmp(family->options[i].name, name) != 0;
		     i++)
			;
		ck_assert_msg(i < family->plugin.n_options, "no option %s", name);
		endpoint->values[i] = (struct spliced_value){.state = SPLICED_SET};
		endpoint_set(&family->options[i], &endpoint->values[i], va_arg(args, const char *));
	}
	va_end(args);
	endpoint->options = (struct spliced_options){
		.size = sizeof endpoint->options,
		.value_stride = sizeof endpoint->values[0],
		.host = &host,
		.row = family_row(family, -1, row),
		.role = role,
		.n_values = family->plugin.n_options,
		.values = endpoint->values,
	};
	endpoint_error[0] = '\0';
	return &endpoint->options;
}
