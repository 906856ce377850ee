/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <stdio.h>

/* Prints what config_describe() has as JSON, for people: the list of families, a family, the two of
 * `ip`, a part of the file, or the table of counters. 0, -EIO, -ENOMEM. */
int describe_text_print(const json_t *described, FILE *file);
