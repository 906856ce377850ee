/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an option takes, in words. */
#pragma once

#include "config/config.h"

struct check;
struct setting;

/* Has the option a range? It has none where both ends are 0. */
bool expect_has_range(const struct spliced_option *option);

/* What a value of the option must be, into text: "a duration from 1ms to 1h, as \"250ms\"". Returns
 * text. */
const char *expect_text(const struct spliced_option *option, char *text, size_t size);

/* Reports what is wrong with a setting of the key: r is -EINVAL, -ERANGE, -EILSEQ (not UTF-8) or
 * -ENODEV (no such interface). */
void expect_report(struct check *check, const struct spliced_option *option, const char *key,
		   const struct setting *setting, int r);

/* "duration": the name of the option's type; and the type of that name, or one that is none. */
const char *expect_type_name(const struct spliced_option *option);
uint32_t expect_type_from_name(const char *name);
