/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One setting: from its text to a value of the option's type, and back. */
#pragma once

#include "config/config.h"

#include <stdio.h>

struct check;
struct arena;
struct setting;

/* Reads setting as the option's type. What is wrong is reported as "KEY is VALUE; it must be ..."
 * and leaves *value unset. 0 or -ENOMEM. */
int value_read(struct check *check, const struct spliced_option *option, const char *key,
	       const struct setting *setting, struct config_value *value);

/* Sets the option's default, if it has one. 0, -ENOMEM, or -EINVAL: the default is not of the
 * option's type. */
int value_set_default(struct arena *arena, const struct spliced_option *option,
		      struct spliced_value *value);

/* Prints a set value as libconfig reads it. */
void value_print(FILE *file, const struct spliced_option *option,
		 const struct spliced_value *value);

/* Prints a string with quotes and escapes. */
void value_print_string(FILE *file, const char *text);

/* Equal settings? Places and states aside, but unset differs from set. */
bool value_equal(const struct spliced_option *option, const struct spliced_value *a,
		 const struct spliced_value *b);
