/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checks a configuration without a daemon: what `spliced -t` and `-T` do, for tests.
 *
 *   confcheck [-T] [-g] [-r] [-d DIR] [--as PATH] FILE      0, or 78 and every error on standard
 * error confcheck [-d DIR] [--json] --describe [FAMILY]
 *
 * -T prints the canonical text, -g the same after a way through a generation, where both must
 * agree; -r looks up the names of listeners. DIR holds the families ($SPLICED_PLUGIN_DIR).
 */
#include "base/report.h"
#include "config/config.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

struct request {
	struct config_source source;
	bool print, generation, describe, json;
	const char *family;
};

/* Writes and reads a generation in place of *config. */
static int pass_generation(struct config **config, struct families *families, struct report *report)
{
	int fd = memfd_create("generation", MFD_CLOEXEC), r;
	struct config *again = NULL;

	r = config_write_generation(*config, families, fd, report);
	if (r == 0)
		r = config_read_generation(fd, families, &again, report);
	close(fd);
	if (r == 0 && again->digest != (*config)->digest) {
		report_add(report, "the digest changed on the way through a generation");
		r = -1;
	}
	config_free(*config);
	*config = again;
	return r;
}

static int check(struct request *request, struct report *report)
{
	struct config *config = NULL;
	int r;

	r = config_load(&request->source, &config, report);
	if (r == 0 && request->generation)
		r = pass_generation(&config, request->source.families, report);
	if (r == 0 && request->print)
		r = config_print(config, stdout);
	else if (r == 0)
		printf("%s: %u routes\n", request->source.path, config->n_routes);
	config_free(config);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"as", required_argument, NULL, 'a'},
		{"describe", no_argument, NULL, 'D'},
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	const char *dir = getenv("SPLICED_PLUGIN_DIR");
	struct request request = {0};
	struct families families;
	struct report report = {0};
	int c, r;

	while ((c = getopt_long(argc, argv, "Tgrd:", options, NULL)) >= 0) {
		request.print |= c == 'T';
		request.generation |= c == 'g';
		request.source.resolve_listeners |= c == 'r';
		request.describe |= c == 'D';
		request.json |= c == 'j';
		if (c == 'd')
			dir = optarg;
		if (c == 'a')
			request.source.as = optarg;
		if (c == '?')
			return EX_USAGE;
	}
	if (!dir || (!request.describe && optind + 1 != argc) ||
	    families_init(&families, dir, geteuid()) < 0)
		return EX_USAGE;
	request.source.families = &families;
	request.source.path = argv[optind];
	r = request.describe
		    ? config_describe(&families, argv[optind], request.json, stdout, &report)
		    : check(&request, &report);
	if (report.text)
		fputs(report.text, stderr);
	if (r < 0 && !report.count)
		fprintf(stderr, "confcheck: result %d with %u errors reported\n", r, report.count);
	report_done(&report);
	families_done(&families);
	return r < 0 ? EX_CONFIG : 0;
}
