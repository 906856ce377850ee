/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text for an answer. */
#pragma once

#include <jansson.h>

/* A JSON string of any bytes: invalid UTF-8 becomes U+FFFD. jansson would refuse the whole
 * string, and the row or answer with it would be lost. NULL gives null. */
json_t *words_json(const char *text);
