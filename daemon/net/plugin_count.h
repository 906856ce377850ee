/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What plugins count, in memory that the keeper shares with all its children: counts survive
 * workers and reloads, and begin at 0 with a new keeper, at a restart or an upgrade.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct family;

/* Of all families together. What finds no place is not counted. */
enum { PLUGIN_COUNTS_MAX = 256 };

/* Finds the places of a family's counters, by their names. */
void plugin_count_open(struct family *family);

/* Adds to counter number `counter` of the family's table. */
void plugin_count(const struct family *family, uint32_t counter, uint64_t more);

/* The counter at place number *place or behind it, which is moved behind it. False: there is
 * none. */
bool plugin_count_next(unsigned *place, const char **family, const char **name, uint64_t *count);
