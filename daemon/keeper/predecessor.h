/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The predecessor: what another process of this program left, found before anything of the file is
 * used. Thanks to it a file that cannot be read, or names something missing, ends no session.
 */
#pragma once

#include "ledger/ledger.h"

#include <stdbool.h>
#include <stdint.h>

struct config;
struct families;
struct report;

struct predecessor {
	struct ledger ledger; /* all of whose descriptors are open here */
	bool is_there;
	struct config
		*boot; /* the daemon group of its newest configuration; NULL: that cannot be read */
};

/* Takes it. What cannot be used is closed, with the reason in report. */
void predecessor_find(struct predecessor *predecessor, struct report *report);

/* Frees everything but the ledger, which belongs to the process that took it over. */
void predecessor_done(struct predecessor *predecessor);

/* The capabilities that a configuration's sockets take: families' privileges(), and mark. Reads the
 * whole file, and what was left, in a child. */
int predecessor_find_needs(struct predecessor *predecessor, const char *path,
			   struct families *families, uint64_t *capabilities,
			   struct report *report);
