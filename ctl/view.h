/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers as people read them, on standard output: status.c for the one, tables.c for the many,
 * messages.c for what becomes of a route's messages. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct view {
	bool quiet; /* status: only whether the answer is a good one */
	bool headings;
	bool exact; /* bytes and seconds as numbers, not "1.5K" and "4m12s" */
};

/* Each prints a good answer to its verb. 0; -EBADMSG where it lacks what the verb is about;
 * -ENOMEM. */
int status_print(const json_t *answer, const struct view *view);
int tables_print_routes(const json_t *answer, const struct view *view);
int tables_print_targets(const json_t *answer, const struct view *view);
int tables_print_listeners(const json_t *answer, const struct view *view);
int tables_print_sessions(const json_t *answer, const struct view *view);

/* A line for each of the routes that moved, dropped or lost a message. */
void messages_print(const json_t *routes);
