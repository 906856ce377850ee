/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was meant by a string that is no endpoint, as other programs write theirs. */
#pragma once

#include <stddef.h>

struct check;
struct setting;

/* Reports a string that should have been an endpoint and has no "://", with the right string for
 * it. */
void spelling_report_string(struct check *check, const struct setting *string);

/* Reports a scheme that nothing has: that of a family which is not installed, one that was
 * mistyped, or one of another layer. */
void spelling_report_scheme(struct check *check, const struct setting *string, const char *scheme);
