/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting up, in the order that privileges ask for: signals, the daemon's own settings, log,
 * control directory; then the user is dropped to; then the configuration is read with the rights
 * that every reload will have; then sockets are bound.
 */
#pragma once

#include "base/report.h"
#include "ledger/ledger.h"
#include "net/family.h"

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
	bool took_over;	  /* another process left its ledger */
	bool settled;	  /* the configuration that runs is this process's own choice */
	bool handed_over; /* and this one has left its own */
	char *const *arguments;
	const char *plugin_dir; /* --plugin-dir, or NULL */
	const char *control;	/* --control, or NULL */
	char *control_path;
	struct report refusal; /* what of the file could not be applied when sessions were taken
				* over: for the reload that follows */
};

/* Does all that. Returns EX_OK; or another exit status, after logging why. */
int start_up(struct start *start, const struct keeper_options *options);

/* Settings of the daemon that a reload changes at once: the log's level. */
void start_apply(struct start *start, const struct config *config);
void start_set_log_format(const struct config *config);

/* Notes the state of the files that the running configuration was read from. */
void start_note_files(struct start *start, const struct config *config);

/* Sessions continue with the old configuration: the report is kept for the reload that follows. */
void start_go_on_without(struct start *start, struct report *report);

/* Steps of a start that a takeover has, too. 0, or negative errno. */
uint32_t start_count_threads(const struct config *config);
uint32_t start_count_sessions(const struct config *config, uint32_t listeners, uint32_t threads);
int start_make_ledger(struct start *start, uint32_t threads, uint32_t sessions, int log_fd);
int start_open_control(struct start *start, const struct config *boot, struct report *report);

/* Removes the control socket. */
void start_end(struct start *start);
