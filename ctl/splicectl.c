/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * splicectl: asks the daemon, shows its answer, and ends with an exit code. The daemon filters,
 * decides and words its refusals; nothing is decided here.
 */
#include "client.h"
#include "command.h"
#include "complaint.h"
#include "denied.h"
#include "human.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { EXIT_REFUSED = 1 }; /* refused, or degraded; the other codes are sysexits */

static int exit_code(int r)
{
	switch (r) {
	case -EACCES:
	case -EPERM:
		return EX_NOPERM;
	case -ENAMETOOLONG:
		return EX_USAGE;
	}
	return EX_UNAVAILABLE;
}

static int command_failed(const struct command *command, int r)
{
	char text[768];
	int code = exit_code(r);
	const char *why = r == -EACCES ? denied_explain(command->socket, text, sizeof(text))
				       : client_error(r);

	if (!command->view.quiet)
		complaint_say(code, "%s: %s", command->socket, why);
	return code;
}

/* The daemon refused, in one line or several; errors in a file begin their line with its name. */
static int command_refused(const struct command *command, const json_t *answer)
{
	const char *text = json_string_value(json_object_get(answer, "error"));
	json_int_t code = json_integer_value(json_object_get(answer, "exit"));

	if (!text || !text[0])
		text = "refused, no reason given";
	if (!command->view.quiet && !command->json) {
		fprintf(stderr, "splicectl: %s:%c", command->verb->name,
			strchr(text, '\n') ? '\n' : ' ');
		human_write_lines(text, 0, stderr);
	}
	return code > 0 && code < 128 ? (int)code : EXIT_REFUSED;
}

/* For a program the answer as it came, to the byte; for a terminal the same, laid out, and in plain
 * ASCII. */
static void json_print(const struct answer *answer)
{
	if (isatty(STDOUT_FILENO))
		json_dumpf(answer->root, stdout,
			   JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
	else
		fwrite(answer->line, 1, answer->len, stdout);
	putchar('\n');
}

static int command_answered(const struct command *command, const struct answer *answer)
{
	bool ok = json_is_true(json_object_get(answer->root, "ok"));
	int r = 0;

	if (command->json && !command->view.quiet)
		json_print(answer);
	else if (ok)
		r = command->verb->print(answer->root, &command->view);
	if (r < 0)
		return command_failed(command, r);
	if (!ok)
		return command_refused(command, answer->root);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		complaint_say(EXIT_REFUSED, "standard output: %s", strerror(errno));
		return EXIT_REFUSED;
	}
	return json_is_true(json_object_get(answer->root, "degraded")) ? EXIT_REFUSED : EX_OK;
}

static int command_run(const struct command *command)
{
	struct answer answer;
	int r = client_ask(command->socket, command->request, command->verb->patient, &answer);

	if (r < 0)
		return command_failed(command, r);
	r = command_answered(command, &answer);
	client_answer_done(&answer);
	return r;
}

int main(int argc, char **argv)
{
	struct command command;
	int r;

	/* Only characters: numbers keep their point, for programs that read them. */
	setlocale(LC_CTYPE, "");

	r = command_parse(&command, argc, argv);
	if (r == 0)
		r = command_run(&command);
	else
		r = r < 0 ? EX_USAGE : EX_OK;
	command_done(&command);
	return r;
}
