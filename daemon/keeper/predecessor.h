/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The predecessor: what another process of this program left, found before anything of the file is
 * used. With it a file that cannot be read, or names what is not there, ends nothing.
 */
#pragma once

#include "ledger/ledger.h"

#include <stdbool.h>

struct config;
struct report;

struct predecessor {
	struct ledger ledger; /* all of whose descriptors are open here */
	bool is_there;
	struct config
		*boot; /* the daemon group of its newest configuration; NULL: that cannot be read */
};

/* Takes it. What cannot be used is closed, and report says why. */
void predecessor_find(struct predecessor *predecessor, struct report *report);

/* Frees what is not the ledger: that is whoever's took it. */
void predecessor_done(struct predecessor *predecessor);

/* In a child that runs families' code: the configurations alone stay open, as the n first
 * descriptors from STDERR_FILENO + 1 on; the ledger is out of reach. Returns n. */
int predecessor_keep_generations(struct predecessor *predecessor);
