/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was typed: the verb, the request that it makes, and how the answer is to be shown. */
#pragma once

#include "view.h"

#include <jansson.h>
#include <stdbool.h>

struct verb {
	const char *name;
	const char *arguments[2]; /* the members of the request that its arguments become, or NULL
				   */
	unsigned options;	  /* those of command.c that this verb takes */
	bool patient;		  /* waits without a time limit */
	/* prints a good answer, as in view.h */
	int (*print)(const json_t *answer, const struct view *view);
	const char *usage; /* its arguments, as they are asked for where one is missing */
};

struct command {
	const char *socket;
	char instance[108]; /* a socket's path, made of an instance's name */
	const struct verb *verb;
	json_t *request;
	struct view view;
	bool json;
	unsigned given; /* options that only some verbs take */
};

enum { COMMAND_DONE = 1 }; /* help, --help or --version: printed, nothing to ask */

/* Reads the command line. 0, COMMAND_DONE, or -EINVAL with the reason printed. The caller ends it
 * with command_done() whatever the result. */
int command_parse(struct command *command, int argc, char **argv);
void command_done(struct command *command);
