/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting up, in the order that privileges ask for: signals, the daemon's own settings, log, control directory; then the
 * user is dropped to; then the configuration is read with the rights that every reload will have; then sockets are bound.
 */
#pragma once

#include "net/family.h"
#include "ledger/ledger.h"

struct config;
struct generation;
struct keeper_options;

struct start {
	const char *path; /* of the config file */
	struct families families;
	struct ledger ledger;
	struct generation *generations; /* newest first */
	int signal_fd;
	int log_level;
	bool took_over;   /* another process left its ledger */
	bool settled;     /* the configuration that runs is this process's own choice */
	bool handed_over; /* and this one has left its own */
	char *const *arguments;
	const char *plugin_dir; /* --plugin-dir, or NULL */
	char *control_path;
};

/* Does all that. Returns EX_OK; or another exit status, after logging why. */
int start_up(struct start *start, const struct keeper_options *options);

/* Settings of the daemon that a reload changes at once: the log's level. */
void start_apply(struct start *start, const struct config *config);

/* Remembers what the files looked like that the running configuration came from. */
void start_note_files(struct start *start, const struct config *config);

/* Removes the control socket. */
void start_end(struct start *start);
