/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all parts of checking share: the config being built, and the report.
 *
 * Checking functions return 0 when they finished, also with errors found: those are in the report
 * and counted. A negative errno means that they could not continue (-ENOMEM).
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

/* Whether an unknown user, group or host is accepted: a generation may contain names that were not
 * known when it was written. */
bool check_may_wait(const struct check *check);
