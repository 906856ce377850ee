/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#define COUNTERS_NAME "counters"
#define COUNTERS_SUMMARY "What is counted for each route"

/* The table of base/counter.h: counters, and the reasons for which clients are refused and messages
 * dropped. NULL: no memory. */
json_t *describe_counters(void);
