/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "language/reader.h"

#include "base/report.h"

#include <stdio.h>

static void add_to_report(struct reader *reader, struct location location, const char *kind,
			  const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void add_to_report(struct reader *reader, struct location location, const char *kind,
			  const char *format, va_list args)
{
	char text[2048], where[320];

	vsnprintf(text, sizeof(text), format, args);
	report_add_at(reader->report, location_order(location), "%s: %s%s%s%s",
		      location_text(reader->files, location, where, sizeof(where)), kind,
		      reader->where ? reader->where : "", reader->where ? ": " : "", text);
}

void reader_verror(struct reader *reader, struct location location, const char *format,
		   va_list args)
{
	reader->errors++;
	add_to_report(reader, location, "", format, args);
}

void reader_error(struct reader *reader, struct location location, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	reader_verror(reader, location, format, args);
	va_end(args);
}

void reader_vwarning(struct reader *reader, struct location location, const char *format,
		     va_list args)
{
	add_to_report(reader, location, "warning: ", format, args);
}

int reader_add_file(struct reader *reader, const char *name, uint32_t *ret)
{
	return location_add_file(reader->files, reader->file_arena, name, ret);
}
