/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two ends of a route: which can be joined, as their rows, framings and formats say, and what
 * the data path then reads of them. The family `odd` is compiled here, with a row that is whatever
 * a test needs: no family that is built is all of that. What an operator sees of it is in
 * tests/conf.
 */
#include "../plugins/compile.h"
#include "base/report.h"
#include "config/config.h"
#include "described.h"
#include "generation.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

static char dir[64];
static struct families families;
static struct report report;

static void set_up(void)
{
	char command[1024];

	compile_directory(dir);
	snprintf(command, sizeof command, "umask 022; cp '%s'/*.so '%s'",
		 compile_environment("SPLICED_PLUGIN_DIR", "plugins"), dir);
	ck_assert_msg(system(command) == 0, "%s", command);
	ck_assert_int_eq(families_init(&families, dir, geteuid()), 0);
}

static void tear_down(void)
{
	report_done(&report);
	families_done(&families);
	compile_clean(dir);
}

/* NULL, with every error in report, where it is refused. */
static struct config *read_text(const char *text)
{
	struct config_source source = {.families = &families};
	struct config *config = NULL;
	char path[96];
	FILE *file;

	snprintf(path, sizeof path, "%s/x.conf", dir);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	source.path = path;
	report_done(&report);
	if (config_load(&source, &config, &report) < 0)
		return NULL;
	ck_assert(!report.text || strstr(report.text, "warning: ")); /* what is odd is told, too */
	return config;
}

static struct config *load(const char *text)
{
	struct config *config = read_text(text);

	ck_assert_msg(config, "%s", report.text);
	return config;
}

static struct config *load_ends(const char *front, const char *target)
{
	char text[512];

	snprintf(text, sizeof text, "routes: { a: {\n%s;\ntarget = \"%s\"; }; };", front, target);
	return read_text(text);
}

/* A text without an error reads as itself by way of a generation, too. */
static void assert_passes_generation(const struct config *config)
{
	int fd = memfd_create("generation", MFD_CLOEXEC);
	struct config *again = NULL;

	ck_assert_int_eq(config_write_generation(config, &families, fd, &report), 0);
	ck_assert_msg(read_generation_alone(fd, &families, &again, &report) == 0, "%s",
		      report.text);
	ck_assert_uint_eq(config->digest, again->digest);
	for (unsigned i = 0; i < config->n_routes; i++) {
		ck_assert_uint_eq(config->routes[i].digest, again->routes[i].digest);
		ck_assert_int_eq(config->routes[i].replies, again->routes[i].replies);
		ck_assert_int_eq(config->routes[i].overflow, again->routes[i].overflow);
		ck_assert_uint_eq(config->routes[i].idle_timeout, again->routes[i].idle_timeout);
		ck_assert_uint_eq(config->routes[i].message_idle_timeout,
				  again->routes[i].message_idle_timeout);
	}
	close(fd);
	config_free(again);
}

#define BOTH "SPLICED_CAN_LISTEN|SPLICED_CAN_CONNECT|"
#define FEED "-DSECOND_CAPABILITIES='" BOTH "SPLICED_BOUNDARIES|SPLICED_FEED|SPLICED_RECEIVE_ONLY' "
#define PACKETS "-DSECOND_CAPABILITIES='" BOTH "SPLICED_BOUNDARIES' "
#define BARE "-DFORMAT_FRAMING=SPLICED_FRAMING_UNSET"
#define NEEDS \
	"so the stream needs a framing; set framing = length16, length32, line, netstring, octet-count, slip, nul, or none"

/* says: NULL where the pair is right. line: of the end that is to be changed. */
static const struct pair {
	const char *plugin, *front, *target, *says;
	unsigned line;
} pairs[] = {
	{PACKETS, "listen = \"unix:///a\"", "unix:///b", NULL, 0},
	{PACKETS, "listen = \"unix:///a?framing=line\"", "unix:///b",
	 "listen.framing is set on only one of two streams", 2},
	{PACKETS, "listen = \"unix:///a\"", "unix:///b?framing=none",
	 "target.framing is set on only one of two streams", 3},
	{PACKETS, "listen = \"unix:///a?framing=slip\"", "unix:///b?framing=line", NULL, 0},
	{PACKETS, "dial = \"unix:///a?framing=slip\"", "unix:///b",
	 "dial.framing is set on only one of two streams", 2},
	{PACKETS, "listen = \"unix-dgram:///a\"", "unix-seqpacket:///b", NULL, 0},
	{PACKETS, "listen = \"unix-dgram:///a\"", "unix:///b",
	 "target is a stream and listen carries messages, " NEEDS, 3},
	{PACKETS, "listen = \"unix-dgram:///a\"", "unix:///b?framing=none", NULL, 0},
	{PACKETS, "listen = \"unix:///a\"", "unix-dgram:///b",
	 "listen is a stream and target carries messages, " NEEDS, 2},
	{PACKETS, "listen = \"unix:///a?framing=length32\"", "unix-dgram:///b", NULL, 0},
	{PACKETS, "dial = \"unix:///a\"", "unix-seqpacket:///b",
	 "dial is a stream and target carries messages, " NEEDS, 2},
	/* a framing of the format's serves one direction only */
	{PACKETS, "listen = \"odd-seqpacket:///a?format=lines\"", "unix:///b", NEEDS, 3},
	{PACKETS, "listen = \"odd-seqpacket:///a?format=lines\"", "unix:///b?framing=line", NULL,
	 0},
	{FEED, "listen = \"odd-seqpacket:///a\"", "unix:///b", NEEDS, 3},
	{FEED, "listen = \"odd-seqpacket:///a\"", "unix:///b?framing=length16", NULL, 0},
	{FEED, "listen = \"odd-seqpacket:///a?format=lines\"", "unix:///b", NULL, 0},
	{FEED, "listen = \"odd-seqpacket:///a?format=own\"", "unix:///b", NULL, 0},
	{FEED BARE, "listen = \"odd-seqpacket:///a?format=own\"", "unix:///b", NEEDS, 3},
	{FEED, "listen = \"odd-seqpacket:///a?format=raw\"", "unix:///b", NEEDS, 3},
	{FEED, "listen = \"unix:///a\"", "odd-seqpacket:///b?format=lines", NULL, 0},
	{FEED, "listen = \"unix:///a\"", "odd-seqpacket:///b", NEEDS, 2},
	{FEED, "listen = \"odd-seqpacket:///a\"", "odd-seqpacket:///b",
	 "neither listen nor target can be sent to", 3},
	{FEED, "listen = \"odd-seqpacket:///a\"", "unix-dgram:///b", NULL, 0},
	/* formats and framings at an end that has none */
	{PACKETS, "listen = \"odd-seqpacket:///a?format=line\"", "unix-dgram:///b",
	 "listen.format is \"line\"; did you mean \"lines\"? seqpacket sockets of family \"odd\" have: raw, lines, own",
	 2},
	{PACKETS, "listen = \"odd:///a?format=own\"", "unix:///b",
	 "listen.format is \"own\"; stream sockets of family \"odd\" have: raw, lines", 2},
	{PACKETS, "listen = \"unix-dgram:///a?format=json\"", "unix-dgram:///b",
	 "listen.format is \"json\"; dgram sockets of family \"unix\" have: raw", 2},
	{PACKETS, "listen = \"unix-dgram:///a?framing=line\"", "unix-dgram:///b",
	 "listen.framing: a dgram socket preserves message boundaries", 2},
	{PACKETS, "listen = \"unix:///a?framing=line&rcvbuf=128K\"", "unix-dgram:///b",
	 "listen.rcvbuf is too small for the framing; it must be at least four times max_frame, 262144 bytes",
	 2},
	{PACKETS, "listen = \"unix:///a?framing=line&rcvbuf=128K&max_frame=32K\"",
	 "unix-dgram:///b", NULL, 0},
	{PACKETS, "listen = \"unix:///a?framing=none&rcvbuf=1K\"", "unix-dgram:///b", NULL, 0},
	/* settings of messages and of datagrams */
	{PACKETS, "listen = \"unix-dgram:///a\"; replies = 0; overflow = \"drop-old\"",
	 "unix-dgram:///b", NULL, 0},
	{PACKETS, "listen = \"unix-seqpacket:///a\"; replies = 0", "unix-dgram:///b",
	 "replies is only for datagram sessions, and listen has none", 2},
	{PACKETS, "dial = \"unix-dgram:///a\"; replies = 0", "unix-dgram:///b", "and dial has none",
	 2},
	{PACKETS, "listen = \"unix:///a\"; overflow = \"block\"", "unix:///b",
	 "this route forwards streams", 2},
	{PACKETS, "listen = \"unix:///a?framing=line\"; overflow = \"block\"",
	 "unix:///b?framing=line", NULL, 0},
	{PACKETS, "listen = \"unix:///a?framing=line\"; overflow = \"block\"", "unix-dgram:///b",
	 NULL, 0},
};

START_TEST(decides_by_rows)
{
	const struct pair *pair = &pairs[_i];
	struct config *config;
	char place[128];

	compile_plugin(dir, "odd", "odd", pair->plugin);
	config = load_ends(pair->front, pair->target);
	if (!pair->says) {
		ck_assert_msg(config, "%s", report.text);
		assert_passes_generation(config);
		config_free(config);
		return;
	}
	ck_assert_msg(!config, "%s to %s is joined", pair->front, pair->target);
	snprintf(place, sizeof place, "%s/x.conf:%u: route a: ", dir, pair->line);
	ck_assert_msg(strncmp(report.text, place, strlen(place)) == 0, "%s", report.text);
	ck_assert_msg(strstr(report.text, pair->says), "\"%s\" is not in \"%s\"", pair->says,
		      report.text);
	ck_assert_msg(report.count == 1, "%s", report.text);
}
END_TEST

START_TEST(values_of_messages)
{
	struct config *config = load(
		"routes: {\n"
		"a: { listen = \"udp4://:1\"; target = \"tcp4://h:1?framing=octet-count&max_frame=1M\";\n"
		"     replies = 3; overflow = \"drop-old\"; timeout: { idle = 0; }; };\n"
		"b: { listen = \"udp4://:2\"; target = \"tcp4://h:1?framing=none\"; };\n"
		"c: { dial = ( \"tcp4://h:1\", \"tcp4://h:2\" ); target = \"tcp4://h:3\"; timeout: { idle = 9; }; };\n"
		"};");
	const struct config_route *a = &config->routes[0], *b = &config->routes[1],
				  *c = &config->routes[2];

	ck_assert_int_eq(a->replies, 3);
	ck_assert_int_eq(a->overflow, OVERFLOW_DROP_OLD);
	ck_assert_uint_eq(a->idle_timeout, 0);
	ck_assert_uint_eq(a->message_idle_timeout, 0);
	ck_assert_int_eq(a->listen[0].framing, SPLICED_FRAMING_UNSET);
	ck_assert_int_eq(a->targets[0].framing, SPLICED_FRAMING_OCTET_COUNT);
	ck_assert_uint_eq(a->targets[0].max_frame, 1 << 20);
	ck_assert_ptr_null(a->targets[0].format);

	ck_assert_int_eq(b->replies, -1);
	ck_assert_int_eq(b->overflow, OVERFLOW_AUTO);
	ck_assert_uint_eq(b->idle_timeout, 0);
	ck_assert_uint_eq(b->message_idle_timeout, UINT64_C(60000000000));
	ck_assert_int_eq(b->targets[0].framing, SPLICED_FRAMING_NONE);
	ck_assert_uint_eq(b->targets[0].max_frame, 64 << 10);

	ck_assert_uint_eq(c->n_listen, 0);
	ck_assert_uint_eq(c->n_dial, 2);
	ck_assert_int_eq(c->dial[1].role, SPLICED_CONNECT);
	ck_assert_str_eq(c->dial[1].key, "dial");
	ck_assert_str_eq(c->dial[1].text, "tcp4://h:2");
	ck_assert_uint_eq(c->idle_timeout, UINT64_C(9000000000));
	ck_assert_uint_eq(c->message_idle_timeout, UINT64_C(9000000000));
	assert_passes_generation(config);
	config_free(config);
}
END_TEST

START_TEST(a_format_is_the_familys)
{
	struct config *config;

	compile_plugin(dir, "odd", "odd", FEED);
	config = load_ends("listen = \"odd-seqpacket:///a?format=own\"", "unix:///b");
	ck_assert_msg(config, "%s", report.text);
	ck_assert_ptr_eq(config->routes[0].listen[0].format,
			 &config->routes[0].listen[0].legs[0].family->formats[1]);
	ck_assert_str_eq(config->routes[0].listen[0].format->name, "own");
	config_free(config);
}
END_TEST

/* A default is for those whom it fits; what is printed of the others is without it. */
START_TEST(defaults_that_do_not_fit)
{
	struct config *config = load(
		"defaults: { replies = 1; overflow = \"drop-new\"; allow = [ \"10.0.0.0/8\" ]; };\n"
		"routes: { a: { listen = \"tcp4://:1\"; target = \"tcp4://h:1\"; };\n"
		"b: { listen = \"udp4://:1\"; target = \"udp4://h:1\"; };\n"
		"c: { dial = \"tcp4://h:1\"; target = \"tcp4://h:2\"; }; };");
	const struct config_route *a = &config->routes[0], *b = &config->routes[1],
				  *c = &config->routes[2];

	ck_assert_int_eq(a->replies, -1);
	ck_assert_int_eq(a->overflow, OVERFLOW_AUTO);
	ck_assert_int_eq(b->replies, 1);
	ck_assert_int_eq(b->overflow, OVERFLOW_DROP_NEW);
	ck_assert_int_eq(c->replies, -1);
	ck_assert(a->has_allow && b->has_allow && !c->has_allow);
	assert_passes_generation(config);
	config_free(config);
}
END_TEST

static uint64_t route_digest(const char *format, const char *route)
{
	struct config *config;
	uint64_t digest;
	char text[1024];

	snprintf(text, sizeof text, format, route);
	config = load(text);
	digest = config->routes[config->n_routes - 1].digest;
	config_free(config);
	return digest;
}

/* The same route is the same, wherever it stands and however it is written. */
START_TEST(digests_of_routes)
{
	static const char alone
		[] = "routes: { %s };",
	   behind[] = "daemon: { workers = 3; };\n"
		      "defaults: { timeout: { connect = \"5s\"; }; };\n"
		      "routes: { z: { listen = \"tcp4://:9\"; target = \"unix:///z\"; };\n\n%s };",
	   route[] = "a: { listen = \"udp4://:1\"; target = \"udp4://h:1\"; replies = 1; };",
	   spelled[] =
		   "a: { replies = 1; target = ( { family = \"inet\"; type = \"dgram\"; port = 1;\n"
		   "host = \"h\"; } ); listen = \"inet-dgram://:1\"; };";
	static const char *const others[] = {
		"b: { listen = \"udp4://:1\"; target = \"udp4://h:1\"; replies = 1; };",
		"a: { listen = \"udp4://:1\"; target = \"udp4://h:1\"; replies = 2; };",
		"a: { listen = \"udp4://:1\"; target = \"udp4://h:1\"; };",
		"a: { dial = \"udp4://h:2\"; target = \"udp4://h:1\"; };",
		"a: { listen = \"udp4://:1\"; target = \"tcp4://h:1?framing=line\"; replies = 1; };",
		"a: { listen = \"udp4://:1\"; target = \"tcp4://h:1?framing=slip\"; replies = 1; };",
		"a: { listen = \"udp4://:1\"; target = \"tcp4://h:1?framing=slip&max_frame=1K\"; replies = 1; };",
	};
	uint64_t digest = route_digest(alone, route), known[8] = {digest};

	ck_assert_uint_eq(digest, route_digest(behind, route));
	ck_assert_uint_eq(digest, route_digest(behind, spelled));
	for (unsigned i = 0; i < 7; i++) {
		known[i + 1] = route_digest(alone, others[i]);
		for (unsigned k = 0; k <= i; k++)
			ck_assert_msg(known[i + 1] != known[k], "%s has the digest of another",
				      others[i]);
	}
}
END_TEST

/* What is said of messages changes no socket. */
START_TEST(framing_keeps_the_socket)
{
	static const char *const same[] = {"unix:///a?framing=line", "unix:///a?framing=slip",
					   "unix:///a?framing=slip&max_frame=128K"};
	uint64_t digests[3];

	for (unsigned i = 0; i < 3; i++) {
		struct config *config;
		char front[128];

		snprintf(front, sizeof front, "listen = \"%s\"", same[i]);
		config = load_ends(front, "unix-dgram:///b");
		ck_assert_msg(config, "%s", report.text);
		digests[i] = config_leg_digest(&config->routes[0].listen[0],
					       &config->routes[0].listen[0].legs[0]);
		config_free(config);
	}
	ck_assert_uint_eq(digests[0], digests[1]);
	ck_assert_uint_eq(digests[0], digests[2]);
}
END_TEST

/* What a plugin offers is shown, for people and for programs. */
START_TEST(formats_are_described)
{
	compile_plugin(dir, "odd", "odd", FEED);
	for (int json = 0; json < 2; json++) {
		static const char *const shown[2][4] = {
			{"receive-only, feed",
			 "Formats\n  lines\n    A line for each\n    on a stream   framing = line\n",
			 "  own\n    Edges of its own\n    on a stream   frames itself\n    only for      seqpacket second\n",
			 "odd-seqpacket://PATH"},
			{"\"feed\"", "\"framing\": \"line\"", "\"framing\": \"none\"",
			 "\"scheme\": \"odd-seqpacket\""},
		};

		described_says(&families, "odd", json, shown[json], 4);
	}
}
END_TEST

/* So is what the file itself takes. */
START_TEST(parts_are_described)
{
	static const struct {
		const char *name, *shown[2];
	} described[] = {
		{"file", {"Keys\n  daemon\n  defaults\n", "\"options\": []"}},
		{"daemon", {"  control.mode\n", "\"control.mode\""}},
		{"route", {"  retry.attempts\n    number of connection", "\"max\": 1073741824"}},
		{"endpoint",
		 {"default       64K\n    a change      applies", "\"change\": \"reopen\""}},
	};

	for (size_t i = 0; i < sizeof described / sizeof *described; i++)
		for (int json = 0; json < 2; json++)
			described_says(&families, described[i].name, json,
				       &described[i].shown[json], 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pair");
	TCase *cases = tcase_create("pair");

	tcase_add_checked_fixture(cases, set_up, tear_down);
	tcase_set_timeout(cases, 60);
	tcase_add_loop_test(cases, decides_by_rows, 0, sizeof pairs / sizeof *pairs);
	tcase_add_test(cases, values_of_messages);
	tcase_add_test(cases, a_format_is_the_familys);
	tcase_add_test(cases, defaults_that_do_not_fit);
	tcase_add_test(cases, digests_of_routes);
	tcase_add_test(cases, framing_keeps_the_socket);
	tcase_add_test(cases, formats_are_described);
	tcase_add_test(cases, parts_are_described);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
