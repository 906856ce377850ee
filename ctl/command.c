/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command line. Options may stand before and after the verb; one that the verb has no use for
 * is an error, not ignored. What the daemon can check (is there such a route, is this a level) is
 * left to it.
 */
#include "command.h"

#include "base/text.h"
#include "complaint.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

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
	VERB_TIMEOUT = 1 << 5,
	VERB_CHANGES = 1 << 6, /* no option: it changes something */
};

static int reload_print(const json_t *answer, const struct view *view)
{
	(void)view;
	if (!json_is_integer(json_object_get(answer, "generation")))
		return -EBADMSG;
	printf("generation %" JSON_INTEGER_FORMAT " %s\n",
	       json_integer_value(json_object_get(answer, "generation")),
	       json_is_true(json_object_get(answer, "changed")) ? "is running"
								: "continues: nothing changed");
	return 0;
}

static void words_print(const char *key, const json_t *words, bool is_upper)
{
	const json_t *word;
	size_t i;

	/* Without a value the list starts again. */
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
	/* It would leave nothing of rules by users. A daemon that does not report them may have
	 * some. */
	const char *private_users =
		json_is_false(json_object_get(answer, "identities")) ? "PrivateUsers=yes\n" : "";

	(void)view;
	if (!json_is_array(capabilities) || !json_is_array(families))
		return -EBADMSG;
	puts("# Permits only what the running configuration needs. Install as\n"
	     "# /etc/systemd/system/spliced.service.d/harden.conf, then run systemctl daemon-reload and restart the service.\n"
	     "[Service]");
	words_print("CapabilityBoundingSet", capabilities, true);
	words_print("AmbientCapabilities", capabilities, true);
	if (!json_is_true(json_object_get(answer, "others")))
		words_print("RestrictAddressFamilies", families, false);
	if (json_array_size(capabilities) == 0)
		printf("%sProcSubset=pid\nSystemCallFilter=~@privileged\n", private_users);
	/* A daemon that does not report the files whose owner it changes may have some. */
	if (json_is_true(json_object_get(answer, "gives_files")))
		puts("# Routes change the owner or group of files: add the service's user to each group that it is not a member of.\n"
		     "SystemCallFilter=@chown");
	else if (json_is_false(json_object_get(answer, "gives_files")))
		puts("SystemCallFilter=~@chown");
	puts("# The worker uses these to confine itself.\n"
	     "SystemCallFilter=seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self");
	if (json_is_true(json_object_get(answer, "namespaces")))
		puts("RestrictNamespaces=net\nSystemCallFilter=setns");
	return 0;
}

/* Nothing is printed: the exit code shows success. */
static int silence_print(const json_t *answer, const struct view *view)
{
	(void)answer;
	(void)view;
	return 0;
}

/* A verb that changes something is never proposed for a word that was mistyped. */
static const struct verb verbs[] = {
	{"status", {NULL}, VERB_QUIET | VERB_NUMBERS, false, status_print, NULL},
	{"routes", {NULL}, VERB_HEADINGS | VERB_NUMBERS, false, tables_print_routes, NULL},
	{"targets", {NULL}, VERB_HEADINGS | VERB_NUMBERS, false, tables_print_targets, NULL},
	{"listeners", {NULL}, VERB_HEADINGS | VERB_NUMBERS, false, tables_print_listeners, NULL},
	{"sessions",
	 {NULL},
	 VERB_ROUTE | VERB_PEER | VERB_HEADINGS | VERB_NUMBERS,
	 false,
	 tables_print_sessions,
	 NULL},
	{"harden", {NULL}, 0, false, harden_print, NULL},
	{"drain", {"name"}, VERB_CHANGES, false, silence_print, "ROUTE or ROUTE/TARGET"},
	{"disable", {"name"}, VERB_CHANGES, false, silence_print, "ROUTE/TARGET"},
	{"enable", {"name"}, VERB_CHANGES, false, silence_print, "ROUTE or ROUTE/TARGET"},
	{"hold", {"name"}, VERB_CHANGES, false, silence_print, "ROUTE"},
	{"release", {"name"}, VERB_CHANGES, false, silence_print, "ROUTE"},
	{"weight",
	 {"name", "weight"},
	 VERB_CHANGES,
	 false,
	 silence_print,
	 "ROUTE/TARGET and a number, or \"configured\""},
	{"wait",
	 {"name", "state"},
	 VERB_TIMEOUT,
	 true,
	 silence_print,
	 "ROUTE/TARGET and up or down"},
	{"kill", {"id"}, VERB_CHANGES, false, silence_print, "ID (see `splicectl sessions`)"},
	{"reload", {NULL}, VERB_CHANGES, true, reload_print, NULL},
	{"upgrade", {NULL}, VERB_CHANGES, true, reload_print, NULL},
	{"log-level",
	 {"level"},
	 VERB_CHANGES,
	 false,
	 silence_print,
	 "LEVEL (error, warning, notice, info or debug)"},
};

enum { N_VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static const char usage[] =
	"usage: splicectl [-s|--socket PATH | -i|--instance NAME] [--json] VERB\n"
	"\n"
	"  status [-q] [-n]     show the verdict and the state of the daemon; -q: only the exit code\n"
	"  routes [-H] [-n]     list routes\n"
	"  targets [-H] [-n]    list targets\n"
	"  listeners [-H] [-n]  list listeners\n"
	"  sessions [--route R] [--peer P] [-H] [-n]\n"
	"                       list sessions; -H: no headings; -n: plain numbers\n"
	"  kill ID              end a session\n"
	"  drain ROUTE[/TARGET]   no new sessions; the open ones continue\n"
	"  disable ROUTE/TARGET   no new sessions, and end the open ones\n"
	"  enable ROUTE[/TARGET]  undo drain and disable\n"
	"  hold ROUTE             new clients wait in the kernel's queue\n"
	"  release ROUTE          undo hold\n"
	"  weight ROUTE/TARGET N  set the share of new sessions; \"configured\": as in the file\n"
	"  wait ROUTE/TARGET up|down [--timeout 30s]\n"
	"                       return when the target is up, or down\n"
	"  reload               reload the configuration\n"
	"  upgrade              replace the running program with the current file; sessions continue\n"
	"  harden               print the systemd drop-in that fits the configuration\n"
	"  log-level LEVEL      set the log level\n"
	"  help                 print this; so does -h. -V prints the version\n"
	"\n"
	"The control socket is PATH, or that of the service spliced@NAME, or $SPLICED_CONTROL, or\n" CONTROL_PATH
	".\n"
	"Exit codes: 0; 1 refused or degraded; 64 usage; 69 the daemon is down; 77 not allowed.\n";

static void print_text(const struct command *command, const char *name, const char *text)
{
	json_t *answer = command->json ? json_pack("{s:b, s:s}", "ok", 1, name, text) : NULL;

	if (!command->json)
		fputs(text, stdout);
	else if (answer && json_dumpf(answer, stdout, 0) == 0)
		putchar('\n');
	json_decref(answer);
}

/* "status, routes, ...", into text. */
static const char *list_verbs(char *text, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < N_VERBS && len < size; i++)
		len += (size_t)snprintf(text + len, size - len, "%s%s", i ? ", " : "",
					verbs[i].name);
	return text;
}

static const struct verb *verb_find(const char *name)
{
	struct text_nearest nearest;
	char known[384];

	text_nearest_init(&nearest, name);
	for (size_t i = 0; i < N_VERBS; i++) {
		if (strcmp(name, verbs[i].name) == 0)
			return &verbs[i];
		if (!(verbs[i].options & VERB_CHANGES))
			text_nearest_offer(&nearest, verbs[i].name);
	}
	list_verbs(known, sizeof(known));
	if (nearest.best)
		complaint_say(EX_USAGE,
			      "no verb \"%.60s\"; did you mean \"%s\"? The verbs are %s and help",
			      name, nearest.best, known);
	else
		complaint_say(EX_USAGE, "no verb \"%.60s\"; the verbs are %s and help", name,
			      known);
	return NULL;
}

static int request_text(struct command *command, const char *name, const char *text)
{
	if (json_object_set_new(command->request, name, json_string(text)) == 0)
		return 0;
	complaint_say(EX_USAGE, "'%s' is not text in UTF-8", text);
	return -EINVAL;
}

/* The control socket of the service spliced@NAME. */
static int instance_take(struct command *command, const char *name)
{
	int len;

	if (!*name || strchr(name, '/')) {
		complaint_say(EX_USAGE,
			      "\"%s\" is not the name of an instance, as in spliced@NAME.service",
			      name);
		return -EINVAL;
	}
	len = snprintf(command->instance, sizeof(command->instance), "/run/spliced-%s/control.sock",
		       name);
	if (len < 0 || (size_t)len >= sizeof(command->instance)) {
		complaint_say(EX_USAGE, "\"%s\" is too long for a socket's path", name);
		return -EINVAL;
	}
	command->socket = command->instance;
	return 0;
}

enum { OPTION_JSON = 256, OPTION_ROUTE, OPTION_PEER, OPTION_TIMEOUT };

static int option_take(struct command *command, int option)
{
	switch (option) {
	case 's':
		command->socket = optarg;
		return 0;
	case 'i':
		return instance_take(command, optarg);
	case OPTION_JSON:
		complaint_in_json();
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
	case OPTION_TIMEOUT:
		command->given |= VERB_TIMEOUT;
		return request_text(command, "timeout", optarg);
	case 'h':
		print_text(command, "usage", usage);
		return COMMAND_DONE;
	case 'V':
		print_text(command, "version",
			   command->json ? PACKAGE_VERSION : "splicectl " PACKAGE_VERSION "\n");
		return COMMAND_DONE;
	}
	return -EINVAL;
}

/* An argument refused by getopt_long(3), with its own error text. */
static void complain_of_option(int option, const char *word)
{
	if (option == ':' && strncmp(word, "--", 2) == 0)
		complaint_say(EX_USAGE, "option '%s' requires an argument", word);
	else if (option == ':')
		complaint_say(EX_USAGE, "option '-%c' requires an argument", optopt);
	else if (strncmp(word, "--", 2) != 0)
		complaint_say(EX_USAGE, "unrecognized option '-%c'; splicectl help lists them",
			      optopt);
	else
		complaint_say(EX_USAGE, "unrecognized option '%s'; splicectl help lists them",
			      word);
}

static int options_parse(struct command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, OPTION_JSON},
		{"route", required_argument, NULL, OPTION_ROUTE},
		{"peer", required_argument, NULL, OPTION_PEER},
		{"timeout", required_argument, NULL, OPTION_TIMEOUT},
		{"help", no_argument, NULL, 'h'},
		{"instance", required_argument, NULL, 'i'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int option, r = 0;

	opterr = 0;
	while (r == 0 && (option = getopt_long(argc, argv, ":s:i:qHnhV", options, NULL)) != -1) {
		if (option == '?' || option == ':')
			complain_of_option(option, argv[optind - 1]);
		r = option_take(command, option);
	}
	return r;
}

static int arguments_take(struct command *command, const struct verb *verb, char **words)
{
	size_t n = 0;
	int r = request_text(command, "verb", verb->name);

	for (; r == 0 && n < 2 && verb->arguments[n]; n++) {
		if (!words[n]) {
			complaint_say(EX_USAGE, "%s: missing argument: %s", verb->name,
				      verb->usage);
			return -EINVAL;
		}
		r = request_text(command, verb->arguments[n], words[n]);
	}
	if (r == 0 && words[n]) {
		complaint_say(EX_USAGE, "%s does not take '%s'", verb->name, words[n]);
		return -EINVAL;
	}
	return r;
}

static int verb_parse(struct command *command, char **words)
{
	const struct verb *verb;
	unsigned strange;

	if (!words[0] && command->json)
		complaint_say(EX_USAGE, "a verb is missing; splicectl help lists them");
	else if (!words[0])
		fputs(usage, stderr);
	if (!words[0])
		return -EINVAL;
	if (strcmp(words[0], "help") == 0) {
		print_text(command, "usage", usage);
		return COMMAND_DONE;
	}
	verb = command->verb = verb_find(words[0]);
	if (!verb)
		return -EINVAL;
	strange = command->given & ~verb->options;
	if (strange) {
		complaint_say(EX_USAGE, "%s takes no %s", verb->name,
			      strange & VERB_QUIET	? "-q"
			      : strange & VERB_ROUTE	? "--route"
			      : strange & VERB_PEER	? "--peer"
			      : strange & VERB_HEADINGS ? "-H"
			      : strange & VERB_TIMEOUT	? "--timeout"
							: "-n");
		return -EINVAL;
	}
	return arguments_take(command, verb, words + 1);
}

int command_parse(struct command *command, int argc, char **argv)
{
	const char *set = getenv("SPLICED_CONTROL");
	int r;

	/* What is wrong before it, too. */
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			complaint_in_json();
	*command = (struct command){.socket = set && *set ? set : CONTROL_PATH,
				    .request = json_object(),
				    .view = {.headings = true}};
	r = options_parse(command, argc, argv);
	return r == 0 ? verb_parse(command, argv + optind) : r;
}

void command_done(struct command *command)
{
	json_decref(command->request);
	command->request = NULL;
}
