/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* spliced(8): reads the command line, does what it asks for, leaves. */
#include "base/report.h"
#include "config/config.h"
#include "keeper/handover.h"
#include "keeper/keeper.h"
#include "keeper/privilege.h"
#include "net/family.h"
#include "net/identity.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum action { RUN, CHECK, PRINT, DESCRIBE };

struct arguments {
	enum action action;
	struct keeper_options keeper;
	const char *as, *family;
	bool json;
	int adopts; /* a ledger that the running program asks a new executable about; 0: none */
};

static const char usage_text[] =
	"usage: spliced [-c FILE] [--control PATH] [--single] [--plugin-dir DIR]\n"
	"                                                         run in the foreground; FILE may be -, standard input\n"
	"       spliced -t [-c FILE] [--as PATH]                  check FILE, as if it were PATH\n"
	"       spliced -T [-c FILE] [--as PATH]                  check FILE, and print it as parsed\n"
	"       spliced --describe [FAMILY] [--json]              list families, or the options of one; or the keys of\n"
	"                                                         the configuration: file, daemon, route, endpoint;\n"
	"                                                         or counters, for what is counted for each route\n"
	"       spliced -V | --version | --help\n";

static int usage(void)
{
	fputs(usage_text, stderr);
	return EX_USAGE;
}

static int print_version(void)
{
	printf("spliced %s\nconfiguration %s, plugins %s\nplugin ABI %d.%d\n", PACKAGE_VERSION,
	       CONFIG_PATH, PLUGIN_DIR, SPLICED_ABI_MAJOR, SPLICED_ABI_MINOR);
	return EX_OK;
}

/* The directory that the file names, to check a configuration before the installation. */
static int find_plugins(const struct arguments *arguments, struct families *families,
			bool read_file, struct report *report)
{
	struct families none = {0};
	struct config_source source = {.path = arguments->keeper.config_path,
				       .as = arguments->as,
				       .families = &none,
				       .daemon_only = true};
	struct config *config = NULL;
	const char *dir = arguments->keeper.plugin_dir ? arguments->keeper.plugin_dir : PLUGIN_DIR;
	int r = 0;

	if (!arguments->keeper.plugin_dir && read_file) {
		r = config_load(&source, &config, report);
		if (!r)
			dir = config->daemon[DAEMON_PLUGIN_DIR].value.text;
		/* Errors in it will be found again, with the rest. */
		if (r)
			report_done(report);
	}
	r = families_init(families, dir, getuid());
	config_free(config);
	return r;
}

static int check(const struct arguments *arguments)
{
	struct families families = {0};
	struct config_source source = {
		.path = arguments->keeper.config_path, .as = arguments->as, .families = &families};
	struct report report = {0};
	struct config *config = NULL;
	int r;

	/* A running daemon's sessions are open here, and exec(3) has made this process visible. */
	if (arguments->adopts)
		privilege_hide();
	r = find_plugins(arguments, &families, true, &report);
	if (!r)
		r = config_load(&source, &config, &report);
	if (!r && arguments->adopts)
		r = handover_try(arguments->adopts, &families, &report);
	if (!r && arguments->action == PRINT)
		r = config_print(config, stdout);
	if (!r && !arguments->adopts)
		privilege_note_namespaces(config, &report);
	if (!r && arguments->action == CHECK)
		printf("%s: %u route%s, no errors\n", arguments->keeper.config_path,
		       config->n_routes, config->n_routes == 1 ? "" : "s");
	if (report.text)
		fputs(report.text, stderr);
	else if (r)
		fprintf(stderr, "%s: %s\n", arguments->keeper.config_path, strerror(-r));
	report_done(&report);
	config_free(config);
	families_done(&families);
	return r ? EX_CONFIG : EX_OK;
}

static int describe(const struct arguments *arguments)
{
	struct families families = {0};
	struct report report = {0};
	int r = find_plugins(arguments, &families, access(arguments->keeper.config_path, R_OK) == 0,
			     &report);

	if (!r)
		r = config_describe(&families, arguments->family, arguments->json, stdout, &report);
	if (report.text)
		fputs(report.text, stderr);
	else if (r)
		fprintf(stderr, "spliced: %s\n", strerror(-r));
	report_done(&report);
	families_done(&families);
	return r ? EX_UNAVAILABLE : EX_OK;
}

/* Arguments without an effect are an error, not ignored. As read_arguments(). */
static int check_arguments(const struct arguments *arguments, const char *rest)
{
	bool checks = arguments->action == CHECK || arguments->action == PRINT;

	if (rest && access(rest, F_OK) == 0)
		fprintf(stderr,
			"spliced: unexpected argument \"%s\"; name the configuration file with -c %s\n",
			rest, rest);
	else if (rest)
		fprintf(stderr, "spliced: unexpected argument \"%s\"\n", rest);
	else if (arguments->as && !checks)
		fputs("spliced: --as requires -t or -T\n", stderr);
	else if (arguments->json && arguments->action != DESCRIBE)
		fputs("spliced: --json requires --describe\n", stderr);
	else
		return 0;
	return usage() + 1;
}

enum { SINGLE = 256, PLUGINS, AS, DESCRIBE_OPTION, JSON, ADOPTS, CONTROL };

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"check", no_argument, NULL, 't'},
	{"print", no_argument, NULL, 'T'},
	{"help", no_argument, NULL, 'h'},
	{"single", no_argument, NULL, SINGLE},
	{"plugin-dir", required_argument, NULL, PLUGINS},
	{"as", required_argument, NULL, AS},
	{"describe", no_argument, NULL, DESCRIBE_OPTION},
	{"json", no_argument, NULL, JSON},
	{"version", no_argument, NULL, 'V'},
	{"adopts", required_argument, NULL, ADOPTS},
	{"control", required_argument, NULL, CONTROL},
	{0},
};

/* 0: continue; else the exit status, plus one. */
static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
	int option;

	while ((option = getopt_long(argc, argv, "c:tThV", options, NULL)) != -1)
		switch (option) {
		case 'c':
			arguments->keeper.config_path = optarg;
			break;
		case 't':
			arguments->action = CHECK;
			break;
		case 'T':
			arguments->action = PRINT;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return EX_OK + 1;
		case SINGLE:
			arguments->keeper.single = true;
			break;
		case PLUGINS:
			arguments->keeper.plugin_dir = optarg;
			break;
		case AS:
			arguments->as = optarg;
			break;
		case DESCRIBE_OPTION:
			arguments->action = DESCRIBE;
			break;
		case JSON:
			arguments->json = true;
			break;
		case ADOPTS:
			arguments->adopts = atoi(optarg);
			break;
		case CONTROL:
			arguments->keeper.control = optarg;
			break;
		case 'V':
			return print_version() + 1;
		default:
			return usage() + 1;
		}
	if (arguments->action == DESCRIBE && optind < argc)
		arguments->family = argv[optind++];
	return check_arguments(arguments, optind < argc ? argv[optind] : NULL);
}

int main(int argc, char **argv)
{
	struct arguments arguments = {.keeper = {.config_path = CONFIG_PATH, .arguments = argv}};
	int r = read_arguments(argc, argv, &arguments);

	if (r)
		return r - 1;
	identity_load();
	switch (arguments.action) {
	case CHECK:
	case PRINT:
		return check(&arguments);
	case DESCRIBE:
		return describe(&arguments);
	case RUN:
		return keeper_run(&arguments.keeper);
	}
	return EX_SOFTWARE;
}
