/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command line. Options may stand before and after the verb; one that the verb has no use for
 * is an error, not ignored. What the daemon can judge (is there such a route, is this a level) is
 * left to it.
 */
#include "command.h"

#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif
#ifndef CONTROL_PATH
#define CONTROL_PATH "/run/spliced/control.sock"
#endif

/* Options that only some verbs take. */
enum verb_option {
	VERB_QUIET = 1 << 0,
	VERB_ROUTE = 1 << 1,
	VERB_PEER = 1 << 2,
	VERB_HEADINGS = 1 << 3,
	VERB_NUMBERS = 1 << 4,
};

static int reload_print(const json_t *answer, const struct view *view)
{
	(void)view;
	if (!json_is_integer(json_object_get(answer, "generation")))
		return -EBADMSG;
	printf("generation %" JSON_INTEGER_FORMAT " %s\n",
	       json_integer_value(json_object_get(answer, "generation")),
	       json_is_true(json_object_get(answer, "changed")) ? "runs"
								: "still runs: nothing changed");
	return 0;
}

static void words_print(const char *key, const json_t *words, bool is_upper)
{
	const json_t *word;
	size_t i;

	/* Without a value the list begins anew. */
	printf("%s=\n", key);
	if (json_array_size(words) == 0)
		return;
	printf("%s=", key);
	json_array_foreach(words, i, word)
	{
		if (i > 0)
			putchar(' ');
		if (is_upper)
			fputs("CAP_", stdout);
		for (const char *at = json_string_value(word); at && *at; at++)
			putchar(is_upper ? toupper((unsigned char)*at) : *at);
	}
	putchar('\n');
}

static int harden_print(const json_t *answer, const struct view *view)
{
	const json_t *capabilities = json_object_get(answer, "capabilities");
	const json_t *families = json_object_get(answer, "families");
	/* It would leave nothing of rules by users. A daemon that does not tell of them may have some. */
	const char *private_users = json_is_false(json_object_get(answer, "identities")) ? "PrivateUsers=yes\n" : "";

	(void)view;
	if (!json_is_array(capabilities) || !json_is_array(families))
		return -EBADMSG;
	puts("# What the running configuration takes, and no more. For\n"
	     "# /etc/systemd/system/spliced.service.d/harden.conf; then systemctl daemon-reload, and restart.\n"
	     "[Service]");
	words_print("CapabilityBoundingSet", capabilities, true);
	words_print("AmbientCapabilities", capabilities, true);
	if (!json_is_true(json_object_get(answer, "others")))
		words_print("RestrictAddressFamilies", families, false);
	if (json_array_size(capabilities) == 0)
		printf("%sProcSubset=pid\nSystemCallFilter=~@privileged\n", private_users);
	puts("# With them a worker shuts itself in.\n"
	     "SystemCallFilter=seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self");
	if (json_is_true(json_object_get(answer, "namespaces")))
		puts("RestrictNamespaces=net\nSystemCallFilter=setns");
	return 0;
}

/* There is nothing to say but that it was done, and the exit code says that. */
static int silence_print(const json_t *answer, const struct view *view)
{
	(void)answer;
	(void)view;
	return 0;
}

static const struct verb verbs[] = {
	{"status", NULL, VERB_QUIET | VERB_NUMBERS, false, status_print},
	{"routes", NULL, VERB_HEADINGS | VERB_NUMBERS, false, tables_print_routes},
	{"listeners", NULL, VERB_HEADINGS | VERB_NUMBERS, false, tables_print_listeners},
	{"sessions", NULL, VERB_ROUTE | VERB_PEER | VERB_HEADINGS | VERB_NUMBERS, false,
	 tables_print_sessions},
	{"kill", "id", 0, false, silence_print},
	{"reload", NULL, 0, true, reload_print},
	{"upgrade", NULL, 0, true, reload_print},
	{"harden", NULL, 0, false, harden_print},
	{"log-level", "level", 0, false, silence_print},
};

enum { N_VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static void usage_print(FILE *file)
{
	fputs("usage: splicectl [-s|--socket PATH] [--json] VERB\n"
	      "\n"
	      "  status [-q] [-n]     is all well, and what runs; -q: only the exit code\n"
	      "  routes [-H] [-n]     what is joined with what\n"
	      "  listeners [-H] [-n]  where clients arrive\n"
	      "  sessions [--route R] [--peer P] [-H] [-n]\n"
	      "                       who is connected; -H: no headings; -n: plain numbers\n"
	      "  kill ID              end a session\n"
	      "  reload               read the configuration again\n"
	      "  upgrade              run the program's file as it is now; sessions go on\n"
	      "  harden               print the systemd drop-in that fits the configuration\n"
	      "  log-level LEVEL      say more or less in the log\n"
	      "\n"
	      "Exit codes: 0; 1 refused or degraded; 64 usage; 69 the daemon is down; 77 not "
	      "allowed.\n",
	      file);
}

void command_complain(const char *format, ...)
{
	va_list args;

	fputs("splicectl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* Whatever was typed, one of so few verbs is the nearest: it is named, and not done. */
static const struct verb *verb_find(const char *name)
{
	const struct verb *nearest = NULL;
	unsigned least = UINT_MAX;
	size_t i;

	for (i = 0; i < N_VERBS; i++) {
		unsigned distance = text_distance(name, verbs[i].name);

		if (distance == 0)
			return &verbs[i];
		if (distance < least) {
			nearest = &verbs[i];
			least = distance;
		}
	}
	if (nearest)
		command_complain("no verb '%s'; the nearest is '%s'", name, nearest->name);
	else
		command_complain("no such verb; splicectl -h names them");
	return NULL;
}

static int request_text(struct command *command, const char *name, const char *text)
{
	if (json_object_set_new(command->request, name, json_string(text)) == 0)
		return 0;
	command_complain("'%s' is not text in UTF-8", text);
	return -EINVAL;
}

enum { OPTION_JSON = 256, OPTION_ROUTE, OPTION_PEER, OPTION_VERSION };

static int option_take(struct command *command, int option)
{
	switch (option) {
	case 's':
		command->socket = optarg;
		return 0;
	case OPTION_JSON:
		command->json = true;
		return 0;
	case 'q':
		command->given |= VERB_QUIET;
		command->view.quiet = true;
		return 0;
	case 'H':
		command->given |= VERB_HEADINGS;
		command->view.headings = false;
		return 0;
	case 'n':
		command->given |= VERB_NUMBERS;
		command->view.exact = true;
		return 0;
	case OPTION_ROUTE:
		command->given |= VERB_ROUTE;
		return request_text(command, "route", optarg);
	case OPTION_PEER:
		command->given |= VERB_PEER;
		return request_text(command, "peer", optarg);
	case 'h':
		usage_print(stdout);
		return COMMAND_DONE;
	case OPTION_VERSION:
		puts("splicectl " PACKAGE_VERSION);
		return COMMAND_DONE;
	}
	return -EINVAL; /* getopt_long(3) has said what */
}

static int options_parse(struct command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, OPTION_JSON},
		{"route", required_argument, NULL, OPTION_ROUTE},
		{"peer", required_argument, NULL, OPTION_PEER},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, OPTION_VERSION},
		{0},
	};
	int option, r;

	while ((option = getopt_long(argc, argv, "s:qHnh", options, NULL)) != -1) {
		r = option_take(command, option);
		if (r != 0)
			return r;
	}
	return 0;
}

static int verb_parse(struct command *command, char **words)
{
	const struct verb *verb;
	unsigned strange;
	int r;

	if (!words[0]) {
		usage_print(stderr);
		return -EINVAL;
	}
	verb = command->verb = verb_find(words[0]);
	if (!verb)
		return -EINVAL;
	strange = command->given & ~verb->options;
	if (strange) {
		command_complain("%s takes no %s", verb->name,
				 strange & VERB_QUIET	   ? "-q"
				 : strange & VERB_ROUTE	   ? "--route"
				 : strange & VERB_PEER	   ? "--peer"
				 : strange & VERB_HEADINGS ? "-H"
							   : "-n");
		return -EINVAL;
	}
	if (verb->argument && !words[1]) {
		command_complain("%s what? Its %s is missing", verb->name, verb->argument);
		return -EINVAL;
	}
	if (words[1] && (!verb->argument || words[2])) {
		command_complain("%s does not take '%s'", verb->name,
				 words[verb->argument ? 2 : 1]);
		return -EINVAL;
	}
	r = request_text(command, "verb", verb->name);
	if (r == 0 && verb->argument)
		r = request_text(command, verb->argument, words[1]);
	return r;
}

int command_parse(struct command *command, int argc, char **argv)
{
	int r;

	*command = (struct command){
		.socket = CONTROL_PATH, .request = json_object(), .view = {.headings = true}};
	r = options_parse(command, argc, argv);
	return r == 0 ? verb_parse(command, argv + optind) : r;
}

void command_done(struct command *command)
{
	json_decref(command->request);
	command->request = NULL;
}
