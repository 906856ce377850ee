/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `spliced --describe` says, as a test looks for it. */
#pragma once

#include "base/report.h"
#include "config/config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* That each of `count` texts is in the description of `name`, for people or as JSON. */
static inline void described_says(struct families *families, const char *name, bool json,
				  const char *const *shown, int count)
{
	struct report report = {0};
	char *text = NULL;
	size_t len;
	FILE *file = open_memstream(&text, &len);

	ck_assert_int_eq(config_describe(families, name, json, file, &report), 0);
	fclose(file);
	for (int i = 0; i < count; i++)
		ck_assert_msg(strstr(text, shown[i]), "\"%s\" is not in %s", shown[i], text);
	free(text);
}
