/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is held at this moment: each open descriptor by its owner, and the records in use. At rest
 * every open descriptor has an owner and every count equals that of its records; a difference is a
 * leak.
 */
#pragma once

#include <jansson.h>

struct worker;

/* Open descriptors, and how many of them are whose. What other threads open and close meanwhile may
 * be counted on either side. NULL: no memory. */
json_t *held_descriptors(const struct worker *worker);

/* Records in use, by section, and the counters of open sessions. NULL: no memory. */
json_t *held_records(const struct worker *worker);
