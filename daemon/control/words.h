/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text for an answer. */
#pragma once

#include <jansson.h>

/* A JSON string of any bytes: what is not UTF-8 in them becomes U+FFFD. jansson would refuse the
 * whole, and the row or the answer that it stands in would be gone. NULL gives null. */
json_t *words_json(const char *text);
