/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configurations as the daemon gets them: values, locations, legs, rules, digests, and the way
 * through a generation. What an operator sees of them, errors above all, is in tests/conf.
 */
#include "base/report.h"
#include "config/config.h"

#include "generation.h"
#include "suite.h"
#include <arpa/inet.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static struct families families;
static struct report report;
static char dir[64];

static void set_up(void)
{
	const char *plugins = getenv("SPLICED_PLUGIN_DIR");

	ck_assert_msg(plugins, "SPLICED_PLUGIN_DIR says where the families are");
	ck_assert_int_eq(families_init(&families, plugins, geteuid()), 0);
	strcpy(dir, "/tmp/spliced-config-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
	report_done(&report);
	families_done(&families);
}

/* Writes a file of the directory; returns its path, until the next call. */
static const char *write_file(const char *name, const char *text)
{
	static char path[160];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	return path;
}

static struct config *load_source(struct config_source source)
{
	struct config *config = NULL;
	int r;

	source.families = &families;
	report_done(&report);
	r = config_load(&source, &config, &report);
	ck_assert_msg(r == 0, "%s", report.text ? report.text : strerror(-r));
	ck_assert(!report.text || strstr(report.text, "warning: ")); /* what is odd is told, too */
	return config;
}

static struct config *load(const char *text)
{
	return load_source((struct config_source){.path = write_file("x.conf", text)});
}

static int load_wrong(const char *text)
{
	struct config_source source = {.path = write_file("x.conf", text), .families = &families};
	struct config *config = (struct config *)&source;
	int r;

	report_done(&report);
	r = config_load(&source, &config, &report);
	ck_assert_int_lt(r, 0);
	ck_assert_ptr_eq(config, &source);
	ck_assert_uint_gt(report.count, 0);
	return r;
}

static struct config *pass_generation(const struct config *config)
{
	int fd = memfd_create("generation", MFD_CLOEXEC);
	struct config *again = NULL;

	report_done(&report);
	ck_assert_int_eq(config_write_generation(config, &families, fd, &report), 0);
	ck_assert_int_eq(read_generation_alone(fd, &families, &again, &report), 0);
	ck_assert_uint_eq(report.count, 0);
	close(fd);
	return again;
}

static const struct config_value *option(const struct config_leg *leg, const char *name)
{
	for (uint32_t i = 0; i < leg->family->plugin.n_options; i++)
		if (strcmp(leg->family->options[i].name, name) == 0)
			return &leg->values[i];
	ck_abort_msg("family %s has no option %s", leg->family->name, name);
}

static void assert_location(const struct config *config, struct location location, const char *file,
			    unsigned line)
{
	char text[256], expected[256];

	snprintf(expected, sizeof expected, "%s/%s:%u", dir, file, line);
	ck_assert_str_eq(config_location_text(config, location, text, sizeof text), expected);
}

static const char whole[] = "daemon: {\n"
			    "  workers = 4;\n"
			    "  log: {\n"
			    "    level = \"debug\"; }; };\n"
			    "lists: {\n"
			    "  office = [ \"10.1.0.0/16\",\n"
			    "             \"10.2.0.0/16\"\n"
			    "           ];\n"
			    "};\n"
			    "defaults: {\n"
			    "  timeout: { idle = \"1min\"; };\n"
			    "};\n"
			    "routes: {\n"
			    "  web: {\n"
			    "    listen = {\n"
			    "      family = \"inet\";\n"
			    "      host = \"127.0.0.1\";\n"
			    "      port =\n"
			    "        80;\n"
			    "    };\n"
			    "    target = (\n"
			    "      \"tcp4://10.0.0.1:81?nodelay=false\",\n"
			    "      {\n"
			    "        family = \"unix\";\n"
			    "        path = \"/run/x\"; name = \"x\";\n"
			    "      }\n"
			    "    );\n"
			    "    allow = [\n"
			    "      \"@office\",\n"
			    "      \"127.0.0.1\"\n"
			    "    ];\n"
			    "    retry: { attempts = 5; };\n"
			    "  };\n"
			    "};\n";

static void assert_whole(const struct config *config)
{
	const struct config_route *route = &config->routes[0];
	const struct sockaddr_in *address = (const void *)&route->listen[0].legs[0].address.storage;

	ck_assert_uint_eq(config->n_routes, 1);
	ck_assert_str_eq(route->name, "web");
	ck_assert_int_eq(config->daemon[DAEMON_WORKERS].value.number, 4);
	ck_assert_int_eq(config->daemon[DAEMON_WORKERS].value.state, SPLICED_SET);
	ck_assert_str_eq(config->daemon[DAEMON_LOG_LEVEL].value.text, "debug");
	ck_assert_int_eq(config->daemon[DAEMON_MAX_SESSIONS].value.state, SPLICED_DEFAULT);
	ck_assert_int_eq(config->daemon[DAEMON_LOG_TO].value.state, SPLICED_UNSET);
	ck_assert(route->enabled);
	ck_assert_uint_eq(route->connect_timeout, UINT64_C(5000000000));
	ck_assert_uint_eq(route->idle_timeout, UINT64_C(60000000000));
	ck_assert_uint_eq(route->attempts, 5);
	ck_assert_uint_eq(route->limit_sessions, 0);
	ck_assert_uint_eq(route->n_listen, 1);
	ck_assert_str_eq(route->listen[0].text, "tcp4://127.0.0.1:80");
	ck_assert_str_eq(route->listen[0].name, "tcp4://127.0.0.1:80");
	ck_assert_int_eq(address->sin_family, AF_INET);
	ck_assert_uint_eq(ntohs(address->sin_port), 80);
	ck_assert_uint_eq(ntohl(address->sin_addr.s_addr), INADDR_LOOPBACK);
	ck_assert_uint_eq(route->n_targets, 2);
	ck_assert_str_eq(route->targets[1].name, "x");
	ck_assert_str_eq(route->targets[1].text, "unix:///run/x");
	ck_assert_int_eq(option(&route->targets[0].legs[0], "nodelay")->value.state, SPLICED_SET);
	ck_assert_int_eq(option(&route->targets[0].legs[0], "nodelay")->value.number, 0);
	ck_assert_int_eq(option(&route->listen[0].legs[0], "nodelay")->value.state,
			 SPLICED_DEFAULT);
	ck_assert_int_eq(option(&route->listen[0].legs[0], "nodelay")->value.number, 1);
	ck_assert_int_eq(option(&route->listen[0].legs[0], "interface")->value.state,
			 SPLICED_UNSET);
	ck_assert(route->has_allow);
	ck_assert_uint_eq(route->n_allow, 3);
	ck_assert_str_eq(route->allow[1].text, "10.2.0.0/16");
	ck_assert_uint_eq(route->n_deny, 0);
}

static void assert_locations(const struct config *config)
{
	const struct config_route *route = &config->routes[0];

	assert_location(config, config->daemon[DAEMON_WORKERS].location, "x.conf", 2);
	assert_location(config, config->daemon[DAEMON_LOG_LEVEL].location, "x.conf", 4);
	ck_assert_uint_eq(config->daemon[DAEMON_MAX_SESSIONS].location.line, 0);
	assert_location(config, route->location, "x.conf", 14);
	assert_location(config, route->values[ROUTE_TIMEOUT_IDLE].location, "x.conf", 11);
	assert_location(config, route->values[ROUTE_RETRY_ATTEMPTS].location, "x.conf", 32);
	assert_location(config, route->listen[0].location, "x.conf", 15);
	assert_location(config, option(&route->listen[0].legs[0], "port")->location, "x.conf", 18);
	assert_location(config, route->targets[0].location, "x.conf", 22);
	assert_location(config, option(&route->targets[0].legs[0], "nodelay")->location, "x.conf",
			22);
	assert_location(config, route->targets[1].location, "x.conf", 23);
	assert_location(config, option(&route->targets[1].legs[0], "path")->location, "x.conf", 25);
	assert_location(config, route->allow[0].location, "x.conf", 6);
	assert_location(config, route->allow[1].location, "x.conf", 7);
	assert_location(config, route->allow[2].location, "x.conf", 30);
}

START_TEST(values_and_locations)
{
	struct config *config = load(whole);

	assert_whole(config);
	assert_locations(config);
	config_free(config);
}
END_TEST

START_TEST(a_generation_is_the_same)
{
	struct config *config = load(whole), *again = pass_generation(config),
		      *third = pass_generation(again);

	assert_whole(again);
	assert_locations(again);
	assert_locations(third);
	ck_assert_uint_eq(config->digest, again->digest);
	ck_assert_uint_eq(config->digest, third->digest);
	ck_assert_uint_eq(again->files.n, 1);
	config_free(config);
	config_free(again);
	config_free(third);
}
END_TEST

/* A generation whose answers are not those to what is asked: there are none left. */
static void drop_answers(int fd)
{
	enum { DIGEST_AT = 48, ANSWERS_LEN_AT = 56, BODY_AT = 64 };
	off_t size = lseek(fd, 0, SEEK_END);
	uint64_t len, digest;
	char *body;

	ck_assert_int_eq(pread(fd, &len, sizeof len, ANSWERS_LEN_AT), sizeof len);
	ck_assert_uint_gt(len, 0);
	size -= BODY_AT + (off_t)len;
	body = malloc((size_t)size);
	ck_assert_int_eq(pread(fd, body, (size_t)size, BODY_AT), size);
	digest = XXH3_64bits(body, (size_t)size);
	free(body);
	len = 0;
	ck_assert_int_eq(pwrite(fd, &digest, sizeof digest, DIGEST_AT), sizeof digest);
	ck_assert_int_eq(pwrite(fd, &len, sizeof len, ANSWERS_LEN_AT), sizeof len);
	ck_assert_int_eq(ftruncate(fd, BODY_AT + size), 0);
}

/* The answers of another release, or none: asked anew by whoever copies it; and what does not fit
 * the questions is no generation. */
START_TEST(a_generation_with_other_answers)
{
	struct config *config = load(whole), *again = NULL;
	int one = memfd_create("generation", MFD_CLOEXEC),
	    other = memfd_create("generation", MFD_CLOEXEC);
	off_t size;

	ck_assert_int_eq(config_write_generation(config, &families, one, &report), 0);
	ck_assert_int_eq(config_answer_generation(one, &families, -1, &report), 0);
	ck_assert_int_eq(config_answer_generation(one, &families, other, &report), 0);
	size = lseek(one, 0, SEEK_END);
	ck_assert_int_eq(lseek(other, 0, SEEK_END), size);
	ck_assert_int_eq(read_generation_alone(other, &families, &again, &report), 0);
	ck_assert_uint_eq(again->digest, config->digest);
	config_free(again);
	again = NULL;
	drop_answers(one);
	ck_assert_int_eq(read_generation_alone(one, &families, &again, &report), -EPROTO);
	ck_assert_ptr_null(again);
	ck_assert_int_eq(ftruncate(other, 0), 0);
	ck_assert_int_eq((int)lseek(other, 0, SEEK_SET), 0);
	ck_assert_int_eq(config_answer_generation(one, &families, other, &report), 0);
	ck_assert_int_eq(read_generation_alone(other, &families, &again, &report), 0);
	config_free(again);
	config_free(config);
	close(one);
	close(other);
}
END_TEST

/* Whatever else lies in a memfd is refused, and never read beyond its end. */
START_TEST(a_broken_generation)
{
	struct config *config = load(whole), *again = NULL;
	int fd = memfd_create("generation", MFD_CLOEXEC);
	off_t size;
	char byte;

	ck_assert_int_eq(config_read_generation(fd, &families, &again, &report), -EINVAL);
	ck_assert_int_eq(config_write_generation(config, &families, fd, &report), 0);
	size = lseek(fd, 0, SEEK_END);
	for (off_t at = 0; at < size; at += at < 80 ? 1 : 97) {
		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
		ck_assert_int_lt(config_read_generation(fd, &families, &again, &report), 0);
		byte ^= 0x10;
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	}
	for (off_t len = size - 1; len >= 0; len -= len < 100 ? 1 : 101) {
		ck_assert_int_eq(ftruncate(fd, len), 0);
		ck_assert_int_lt(config_read_generation(fd, &families, &again, &report), 0);
	}
	ck_assert_ptr_null(again);
	ck_assert_uint_gt(report.count, 0);
	close(fd);
	config_free(config);
}
END_TEST

static uint64_t digest_of(const char *text)
{
	struct config *config = load(text);
	uint64_t digest = config->digest;

	config_free(config);
	return digest;
}

/* What is written otherwise and means the same has the same digest. */
START_TEST(digests_tell_configurations)
{
	uint64_t digest = digest_of(
		"routes: { a: { listen = \"tcp4://:80\"; target = \"unix:///run/x\"; }; };");

	ck_assert_uint_eq(digest, digest_of("# a comment\nroutes = { a: { target = ( { path = "
					    "\"/run/x\"; family = \"unix\" } );\n"
					    "listen: { family = \"inet\", type = \"stream\", port "
					    "= 80, host = \"\" } } }"));
	ck_assert_uint_eq(
		digest,
		digest_of("defaults: { timeout: { connect = 5; }; }; daemon: { workers = 0; };\n"
			  "routes: { a: { listen = \"inet://:80\"; target = \"unix:///run/x\"; }; "
			  "};"));
	ck_assert_uint_ne(digest, digest_of("routes: { a: { listen = \"tcp4://:81\"; target = "
					    "\"unix:///run/x\"; }; };"));
	ck_assert_uint_ne(digest, digest_of("routes: { b: { listen = \"tcp4://:80\"; target = "
					    "\"unix:///run/x\"; }; };"));
}
END_TEST

struct digests {
	uint64_t reopen, live;
};

static struct digests leg_digests(const char *listen)
{
	char text[512];
	struct config *config;
	struct digests digests;

	snprintf(text, sizeof text,
		 "routes: { a: { listen = \"%s\"; target = \"unix:///run/x\"; }; };", listen);
	config = load(text);
	digests.reopen = config_leg_digest(&config->routes[0].listen[0],
					   &config->routes[0].listen[0].legs[0]);
	digests.live = config_leg_live_digest(&config->routes[0].listen[0],
					      &config->routes[0].listen[0].legs[0]);
	config_free(config);
	return digests;
}

static void assert_differ(const char *a, const char *b, bool reopen, bool live)
{
	struct digests one = leg_digests(a), two = leg_digests(b);

	ck_assert_msg((one.reopen != two.reopen) == reopen, "%s and %s: %s new socket", a, b,
		      reopen ? "a" : "no");
	ck_assert_msg((one.live != two.live) == live, "%s and %s: %s change of the open one", a, b,
		      live ? "a" : "no");
}

START_TEST(digests_tell_sockets)
{
	assert_differ("tcp4://:80", "tcp4://:80", false, false);
	assert_differ("tcp4://:80", "inet://:80?nodelay=true", false, false);
	assert_differ("tcp4://:80", "tcp4://:80?name=other", false, false);
	assert_differ("tcp4://:80", "tcp4://:81", true, false);
	assert_differ("tcp4://:80", "tcp4://127.0.0.1:80", true, false);
	assert_differ("tcp4://:80", "tcp4://:80?rcvbuf=64K", false, true);
	assert_differ("tcp4://:80", "tcp4://:80?mark=1", false, true);
	assert_differ("tcp4://:80", "tcp4://:80?interface=eth0", true, false);
	assert_differ("tcp4://:80", "tcp4://:80?priority=3", false, true);
	assert_differ("tcp4://:80", "tcp4://:80?backlog=5", false, true);
	assert_differ("unix:///run/a", "unix:///run/b", true, false);
	assert_differ("unix:///run/a", "unix:///run/a?mode=0600", false, true);
	ck_assert_uint_ne(leg_digests("tcp4://:80").reopen,
			  leg_digests("inet://:80?protocol=mptcp").reopen);
	ck_assert_uint_ne(leg_digests("tcp4://:80").reopen, leg_digests("tcp6://:80").reopen);
}
END_TEST

static const struct config_endpoint *only_target(struct config **config, const char *target)
{
	char text[512];

	snprintf(text, sizeof text,
		 "routes: { a: { listen = \"unix:///run/x\"; target = \"%s\"; }; };", target);
	*config = load(text);
	return &(*config)->routes[0].targets[0];
}

/* A name has two legs to be resolved, a number the one that it fits. */
START_TEST(legs_of_ip)
{
	struct config *config;
	const struct config_endpoint *target = only_target(&config, "tcp://somewhere.example:80");

	ck_assert_uint_eq(target->n_legs, 2);
	ck_assert_str_eq(target->legs[0].family->name, "inet6");
	ck_assert_str_eq(target->legs[1].family->name, "inet");
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_str_eq(target->legs[i].host_name, "somewhere.example");
		ck_assert_uint_eq(target->legs[i].address.len, 0);
		ck_assert_int_eq(target->legs[i].options.role, SPLICED_CONNECT);
		ck_assert_ptr_eq(target->legs[i].options.row, target->legs[i].row);
	}
	config_free(config);
	target = only_target(&config, "tcp://10.0.0.1:80");
	ck_assert_uint_eq(target->n_legs, 1);
	ck_assert_str_eq(target->legs[0].family->name, "inet");
	ck_assert_ptr_null(target->legs[0].host_name);
	ck_assert_uint_eq(target->legs[0].address.len, sizeof(struct sockaddr_in));
	config_free(config);
	target = only_target(&config, "tcp://[fe80::1%lo]:80");
	ck_assert_uint_eq(target->n_legs, 1);
	ck_assert_str_eq(target->legs[0].family->name, "inet6");
	/* No index: which one it has is known by the socket. */
	ck_assert_uint_ge(
		((const struct sockaddr_in6 *)(const void *)&target->legs[0].address.storage)
			->sin6_scope_id,
		1 << 30);
	ck_assert_str_eq(target->legs[0].interface, "lo");
	ck_assert_str_eq(target->text, "tcp://[fe80::1%lo]:80");
	config_free(config);
}
END_TEST

START_TEST(ip_listens_on_both)
{
	struct config *config =
		load("routes: { a: { listen = \"tcp://:80\"; target = \"unix:///run/x\"; }; };");
	const struct config_endpoint *listen = &config->routes[0].listen[0];

	ck_assert_uint_eq(listen->n_legs, 2);
	ck_assert_uint_eq(listen->legs[0].address.len, sizeof(struct sockaddr_in6));
	ck_assert_uint_eq(listen->legs[1].address.len, sizeof(struct sockaddr_in));
	ck_assert_str_eq(listen->text, "tcp://:80");
	config_free(config);
}
END_TEST

/* Names of listeners become numbers where that is asked for, and only there. */
START_TEST(listeners_are_resolved)
{
	static const char text[] =
		"routes: { a: { listen = \"tcp4://localhost:80\"; target = \"unix:///run/x\"; };\n"
		"b: { listen = \"tcp4://localhost.invalid:81\"; target = \"unix:///run/x\"; }; };";
	struct config_source source = {.path = write_file("x.conf", text), .families = &families};
	struct config *config = load_source(source), *again;
	const struct config_leg *leg = &config->routes[0].listen[0].legs[0];

	ck_assert_str_eq(leg->host_name, "localhost");
	ck_assert_uint_eq(leg->address.len, 0);
	config_free(config);
	source.resolve_listeners = true;
	ck_assert_int_eq(config_load(&source, &config, &report), -EINVAL);
	ck_assert_uint_eq(report.count, 1);
	ck_assert_ptr_nonnull(strstr(
		report.text, "x.conf:2: route b: listen: \"localhost.invalid\" does not resolve"));
	report_done(&report);
	write_file("x.conf", "routes: { a: { listen = \"tcp4://localhost:80\"; target = "
			     "\"unix:///run/x\"; }; };");
	config = load_source(source);
	again = pass_generation(config);
	leg = &again->routes[0].listen[0].legs[0];
	ck_assert_ptr_null(leg->host_name);
	ck_assert_uint_gt(leg->address.len, 0);
	ck_assert_str_eq(option(leg, "host")->value.text, "127.0.0.1");
	ck_assert_uint_eq(config->digest, again->digest);
	config_free(config);
	config_free(again);
}
END_TEST

START_TEST(rules)
{
	struct config
		*config = load(
			"routes: {\n"
			"a: { listen = \"unix:///run/x\"; target = \"unix:///run/y\";\n"
			"allow = [ \"uid:5\", \"user:root\", \"gid:6\", \"group:root\" ]; };\n"
			"b: { listen = \"tcp://:80\"; target = \"unix:///run/y\"; allow = [ ];\n"
			"deny = [ \"10.0.0.0/8\" ]; }; };"),
		*again = pass_generation(config);
	const struct config_route *route = &again->routes[0];

	ck_assert_uint_eq(route->n_allow, 4);
	ck_assert_int_eq(route->allow[0].kind, RULE_UID);
	ck_assert_uint_eq(route->allow[0].id, 5);
	ck_assert_int_eq(route->allow[1].kind, RULE_UID);
	ck_assert_uint_eq(route->allow[1].id, 0);
	ck_assert_int_eq(route->allow[2].kind, RULE_GID);
	ck_assert_uint_eq(route->allow[2].id, 6);
	ck_assert_int_eq(route->allow[3].kind, RULE_GID);
	ck_assert_str_eq(config->routes[0].allow[1].text, "user:root");
	route = &again->routes[1];
	ck_assert(route->has_allow);
	ck_assert_uint_eq(route->n_allow, 0);
	ck_assert_uint_eq(route->n_deny, 1); /* for inet6 and inet */
	ck_assert_int_eq(route->deny[0].kind, RULE_ADDRESS);
	ck_assert_ptr_null(route->deny[0].family);
	ck_assert_uint_eq(route->deny[0].network.bits, 96 + 8);
	config_free(config);
	config_free(again);
}
END_TEST

/* Before privileges are dropped only the daemon's group counts; no plugin is loaded for it. */
START_TEST(the_daemon_alone)
{
	const char *path = write_file(
		"x.conf",
		"daemon: { workers = 3; };\nroutes: { a: { listen = \"nonsense\"; }; };\nx = 1;");
	struct config *config =
		load_source((struct config_source){.path = path, .daemon_only = true});

	ck_assert_int_eq(config->daemon[DAEMON_WORKERS].value.number, 3);
	ck_assert_uint_eq(config->n_routes, 0);
	ck_assert_ptr_null(families.first);
	config_free(config);
	load_wrong("daemon: { workers = 300; };");
}
END_TEST

/* A file under another name is checked with what lies beside that name. */
START_TEST(as_another_file)
{
	char path[160], as[160];
	struct config_source source = {.path = path, .as = as, .families = &families};
	struct config *config;

	strcpy(as, write_file("real.conf", "this is not even read"));
	snprintf(path, sizeof path, "%s/real.conf.d", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	write_file("real.conf.d/1.conf",
		   "routes: { b: { listen = \"tcp4://:81\"; target = \"unix:///run/x\"; }; };");
	write_file("more",
		   "routes: { a: { listen = \"tcp4://:80\"; target = \"unix:///run/x\"; }; };");
	snprintf(path, sizeof path, "%s/new", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	strcpy(path, write_file("new/x.conf", "\n@include \"more\"\n"));
	config = load_source(source);
	ck_assert_uint_eq(config->n_routes, 2);
	assert_location(config, config->routes[0].location, "more", 1);
	assert_location(config, config->routes[1].location, "real.conf.d/1.conf", 1);
	config_free(config);
}
END_TEST

START_TEST(unreadable)
{
	struct config_source source = {.path = "/nonexistent/x.conf", .families = &families};
	struct config *config;

	ck_assert_int_eq(config_load(&source, &config, &report), -ENOENT);
	ck_assert_str_eq(report.text,
			 "/nonexistent/x.conf: cannot be read: No such file or directory\n");
	report_done(&report);
	source.path = dir;
	ck_assert_int_eq(config_load(&source, &config, &report), -EISDIR);
	ck_assert_int_eq(load_wrong("routes: {"), -EINVAL);
	ck_assert_int_eq(load_wrong("routes: { a: { }; };"), -EINVAL);
	ck_assert_uint_eq(report.count, 2);
}
END_TEST

/* What a plugin says at run time is heard with its place, or not at all. */
START_TEST(plugins_are_heard)
{
	struct config *config = load("routes: { a: {\nlisten = \"tcp4://:80\";\ntarget = {\nfamily "
				     "= \"inet\";\nhost = \"10.0.0.1\";\n"
				     "port = 80;\nsource = \"10.0.0.2\"; }; }; };");
	const struct config_route *route = &config->routes[0];
	const struct config_leg *leg = &route->targets[0].legs[0];
	const struct spliced_options *options = &leg->options;
	char expected[256];

	SPLICED_ERROR(options, 1, "nobody hears this");
	config_hear(config, route, &route->targets[0], leg, &report);
	SPLICED_ERROR(options, 1, "option %d", 1);
	SPLICED_ERROR(options, -1, "the whole");
	config_hear_nothing();
	SPLICED_ERROR(options, 1, "nor this");
	snprintf(
		expected, sizeof expected,
		"%s/x.conf:6: route a: target: option 1\n%s/x.conf:3: route a: target: the whole\n",
		dir, dir);
	ck_assert_str_eq(report.text, expected);
	config_free(config);
}
END_TEST

/* Thousands of routes, which take neither the square of the time nor the stack. */
START_TEST(many_routes)
{
	enum { MANY = 2000 };
	char *text = NULL;
	size_t len;
	FILE *file = open_memstream(&text, &len);
	struct config *config, *again;

	fputs("routes: {\n", file);
	for (int i = 0; i < MANY; i++)
		fprintf(file, "r%d: { listen = \"tcp://:%d\"; target = \"tcp://host%d:%d\"; };\n",
			i, i + 1, i, i + 1);
	fputs("};\n", file);
	fclose(file);
	config = load(text);
	again = pass_generation(config);
	ck_assert_uint_eq(again->n_routes, MANY);
	assert_location(again, again->routes[MANY - 1].location, "x.conf", MANY + 1);
	config_free(config);
	config_free(again);
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *cases = tcase_create("config");

	tcase_add_checked_fixture(cases, set_up, tear_down);
	tcase_set_timeout(cases, 60);
	tcase_add_test(cases, values_and_locations);
	tcase_add_test(cases, a_generation_is_the_same);
	tcase_add_test(cases, a_generation_with_other_answers);
	tcase_add_test(cases, a_broken_generation);
	tcase_add_test(cases, digests_tell_configurations);
	tcase_add_test(cases, digests_tell_sockets);
	tcase_add_test(cases, legs_of_ip);
	tcase_add_test(cases, ip_listens_on_both);
	tcase_add_test(cases, listeners_are_resolved);
	tcase_add_test(cases, rules);
	tcase_add_test(cases, the_daemon_alone);
	tcase_add_test(cases, as_another_file);
	tcase_add_test(cases, unreadable);
	tcase_add_test(cases, plugins_are_heard);
	tcase_add_test(cases, many_routes);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
