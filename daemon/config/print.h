/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The canonical text with the location of each of its lines. */
#pragma once

#include "config/config.h"

struct arena;

struct print_lines {
	struct arena *arena;	    /* of locations */
	struct location *locations; /* [line - 1]: where the setting of that line was written; 0: a
					default, or none */
	size_t n;
};

/* As config_print(), and fills lines where it is not NULL. */
int print_config(const struct config *config, FILE *file, struct print_lines *lines);

/* Sets the digests, of the canonical text and of each route's. 0 or -ENOMEM. */
int print_digest(struct config *config);
