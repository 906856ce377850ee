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
#include "language/reader.h"

struct arena;
struct setting;

struct check {
	struct config *config;
	struct reader reader;  /* of the files: with the report, and what is wrong so far */
	struct arena *arena;   /* of the config */
	struct arena *scratch; /* of what is gone when the config is done; the reader's, too */
	struct families *families;
	const struct setting *lists; /* the group of that name, or NULL */
	bool resolve_listeners;
	bool names_may_wait; /* what is not known yet makes its route wait */
	bool resolves_names; /* of a generation, where they are unknown */
	bool generation;     /* what has no location is a default */
	struct answers
		answers; /* of families, to what only a generation's reader keeps or has kept */
};

/* Reports "FILE:LINE: WHERE: ..." and counts it. */
void check_error(struct check *check, struct location location, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Reports it as a warning: nothing is refused for it. */
void check_warning(struct check *check, struct location location, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Is a user, a group or a host that nobody knows now no error? What a generation names may not have
 * been known when it was written. */
bool check_may_wait(const struct check *check);
