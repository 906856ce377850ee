/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#define COUNTERS_NAME "counters"
#define COUNTERS_SUMMARY "What is counted for each route"

/* The table of base/counter.h: counters, the reasons for which clients are refused and messages
 * dropped; and what the plugins that are loaded count. NULL: no memory. */
struct families;
json_t *describe_counters(const struct families *families);

/* What a plugin counts: [{name, help}]. */
struct family;
json_t *describe_family_counters(const struct family *family);
