/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/check.h"

#include <stdarg.h>

void check_error(struct check *check, struct location location, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	reader_verror(&check->reader, location, format, args);
	va_end(args);
}

void check_warning(struct check *check, struct location location, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	reader_vwarning(&check->reader, location, format, args);
	va_end(args);
}

bool check_may_wait(const struct check *check)
{
	return check->generation || check->names_may_wait;
}
