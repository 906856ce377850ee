/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every part of checking shares: the config that is being made, and where errors go.
 *
 * Functions that check return 0 when they came to their end, also with errors found on the way:
 * those are in the report and counted. A negative errno says that they could not go on (-ENOMEM).
 */
#pragma once

#include "config/answers.h"
#include "config/config.h"

struct arena;
struct node;

struct check {
	struct config *config;
	struct arena *arena;   /* of the config */
	struct arena *scratch; /* of what is gone when the config is done */
	struct families *families;
	struct report *report;
	const struct node *lists; /* the group of that name, or NULL */
	const char *where;	  /* "route NAME", "daemon"; NULL outside of these */
	unsigned errors;
	bool resolve_listeners;
	bool names_may_wait;  /* what is not known yet makes its route wait */
	bool resolves_names;  /* of a generation, where they are unknown */
	bool generation; /* what has no place is a default */
	struct answers answers; /* of families, to what only a generation's reader keeps or has kept */
};

/* Reports "FILE:LINE: WHERE: ..." and counts it. */
void check_error(struct check *check, struct config_place place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Reports it as a warning: nothing is refused for it. */
void check_warning(struct check *check, struct config_place place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The order of places, for report_add_at(): by file, then by line. */
uint64_t check_order(struct config_place place);

/* Adds a name to config->files; its index goes to *ret. 0 or -ENOMEM. */
int check_add_file(struct check *check, const char *name, uint32_t *ret);
