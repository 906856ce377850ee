/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon at a glance: the verdict alone on the first line, for readers who stop there; then one
 * line for each subject.
 */
#include "human.h"
#include "member.h"
#include "view.h"

#include <errno.h>
#include <string.h>

enum { KEY_WIDTH = 16 };

static void key_write(const char *key)
{
	int pad = KEY_WIDTH - (int)strlen(key) - 1;

	printf("%s:%*s", key, pad > 1 ? pad : 1, "");
}

/* A value of several lines hangs under its key. */
static void value_write(const char *text)
{
	human_write_lines(text, KEY_WIDTH, stdout);
}

static const char *age(double seconds, const struct view *view, char *text)
{
	if (!view->exact)
		return human_age(seconds, text);
	snprintf(text, HUMAN_NUMBER_MAX, "%.3f", seconds);
	return text;
}

static void processes_print(const json_t *answer, const struct view *view)
{
	static const char *const reasons[] = {"start", "crash", "hang", "reload", "upgrade"};
	const json_t *starts = member(answer, "worker.starts");
	char text[HUMAN_NUMBER_MAX];
	size_t i;

	key_write("keeper");
	printf("pid %" JSON_INTEGER_FORMAT ", version ", member_number(answer, "keeper.pid"));
	value_write(member_text(answer, "keeper.version"));
	key_write("worker");
	printf("pid %" JSON_INTEGER_FORMAT ", started %s ago, version ",
	       member_number(answer, "worker.pid"),
	       age(member_real(answer, "worker.age"), view, text));
	value_write(member_text(answer, "worker.version"));
	key_write("worker starts");
	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		printf("%s%s %" JSON_INTEGER_FORMAT, i ? ", " : "", reasons[i],
		       member_number(starts, reasons[i]));
	putchar('\n');
	key_write("adopted");
	printf("%" JSON_INTEGER_FORMAT " sessions\n", member_number(answer, "worker.adopted"));
	key_write("last death");
	if (json_is_object(member(answer, "worker.last_death"))) {
		human_write(member_text(answer, "worker.last_death.time"), stdout);
		printf(", ");
		value_write(member_text(answer, "worker.last_death.what"));
	} else {
		puts("none");
	}
}

/* A daemon of an earlier release does not report it. */
static void sandbox_print(const json_t *answer)
{
	bool calls = member_true(answer, "worker.sandbox.seccomp"),
	     files = member_true(answer, "worker.sandbox.landlock");
	const char *why = member_text(answer, "worker.sandbox.why");

	if (!json_is_object(member(answer, "worker.sandbox")))
		return;
	key_write("sandbox");
	printf("%s%s%s", calls ? "seccomp" : "", calls && files ? ", " : "",
	       files   ? "landlock"
	       : calls ? ""
		       : "off");
	if (*why)
		printf(" (");
	human_write(why, stdout);
	puts(*why ? ")" : "");
}

static void counts_print(const json_t *answer)
{
	key_write("sessions");
	printf("%" JSON_INTEGER_FORMAT " of at most %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
	       " in total\n",
	       member_number(answer, "sessions.active"), member_number(answer, "sessions.limit"),
	       member_number(answer, "sessions.total"));
	key_write("descriptors");
	printf("%" JSON_INTEGER_FORMAT " of at most %" JSON_INTEGER_FORMAT "\n",
	       member_number(answer, "descriptors.open"),
	       member_number(answer, "descriptors.limit"));
	key_write("routes");
	printf("%" JSON_INTEGER_FORMAT "\n", member_number(answer, "routes"));
	key_write("listeners");
	printf("%" JSON_INTEGER_FORMAT " listening, %" JSON_INTEGER_FORMAT " paused",
	       member_number(answer, "listeners.listening"),
	       member_number(answer, "listeners.paused"));
	if (member_number(answer, "listeners.shared") > 0)
		printf(", %" JSON_INTEGER_FORMAT
		       " with one socket for all threads: not enough descriptors",
		       member_number(answer, "listeners.shared"));
	putchar('\n');
}

static void configuration_print(const json_t *answer)
{
	const char *time = member_text(answer, "reload.time");

	key_write("file");
	human_write(member_text(answer, "file.path"), stdout);
	puts(member_true(answer, "file.differs") ? ", differs from the running configuration"
						 : ", is the running configuration");
	key_write("generation");
	printf("%" JSON_INTEGER_FORMAT "\n", member_number(answer, "reload.generation"));
	key_write("last reload");
	if (!time[0]) {
		puts("none");
		return;
	}
	human_write(time, stdout);
	if (member_true(answer, "reload.ok")) {
		puts("");
	} else {
		printf(" failed:\n%*s", KEY_WIDTH, "");
		value_write(member_text(answer, "reload.error"));
	}
}

static void refusals_print(const json_t *answer)
{
	const json_t *refused = member(answer, "refused");
	size_t i;

	key_write("refused");
	if (json_array_size(refused) == 0)
		puts("none");
	for (i = 0; i < json_array_size(refused); i++) {
		const json_t *one = json_array_get(refused, i);

		if (i > 0)
			printf("%*s", KEY_WIDTH, "");
		human_write(member_text(one, "route"), stdout);
		printf(" %" JSON_INTEGER_FORMAT " ", member_number(one, "count"));
		value_write(member_text(one, "reason"));
	}
	key_write("audit failures");
	printf("%" JSON_INTEGER_FORMAT "\n", member_number(answer, "audit_failures"));
}

/* Nothing, where nothing was done by hand. */
static void hand_print(const json_t *answer)
{
	const json_t *hand = member(answer, "hand");

	for (size_t i = 0; i < json_array_size(hand); i++) {
		const json_t *one = json_array_get(hand, i);

		if (i > 0)
			printf("%*s", KEY_WIDTH, "");
		else
			key_write("by hand");
		human_write(member_text(one, "name"), stdout);
		if (*member_text(one, "state"))
			printf(" %s", member_text(one, "state"));
		if (json_is_integer(member(one, "weight")))
			printf(" weight %" JSON_INTEGER_FORMAT, member_number(one, "weight"));
		putchar('\n');
	}
}

/* Prints nothing if the ledger had no impossible values. */
static void ledger_print(const json_t *answer)
{
	static const struct {
		const char *path, *what;
	} found[] = {{"ledger.sessions", "sessions dropped"},
		     {"ledger.listeners", "listeners dropped"},
		     {"ledger.controls", "control connections dropped"},
		     {"ledger.mended", "words corrected"}};
	const char *between = "";

	for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
		if (!member_number(answer, found[i].path))
			continue;
		if (!*between)
			key_write("ledger errors");
		printf("%s%" JSON_INTEGER_FORMAT " %s", between,
		       member_number(answer, found[i].path), found[i].what);
		between = ", ";
	}
	if (*between)
		puts("");
}

/* What plugins count. */
static void families_print(const json_t *answer)
{
	json_t *families = json_object_get(answer, "families"), *counts, *count;
	const char *family, *name;

	json_object_foreach(families, family, counts)
	{
		const char *between = " ";

		key_write("family");
		human_write(family, stdout);
		json_object_foreach(counts, name, count)
		{
			printf("%s%" JSON_INTEGER_FORMAT " ", between, json_integer_value(count));
			human_write(name, stdout);
			between = ", ";
		}
		putchar('\n');
	}
}

int status_print(const json_t *answer, const struct view *view)
{
	char text[HUMAN_NUMBER_MAX];

	if (!json_is_string(member(answer, "verdict")) ||
	    !json_is_boolean(member(answer, "degraded")))
		return -EBADMSG;
	if (view->quiet)
		return 0;

	value_write(member_text(answer, "verdict"));
	key_write("version");
	human_write(member_text(answer, "version"), stdout);
	printf(", up %s\n", age(member_real(answer, "uptime"), view, text));
	processes_print(answer, view);
	sandbox_print(answer);
	counts_print(answer);
	hand_print(answer);
	configuration_print(answer);
	refusals_print(answer);
	ledger_print(answer);
	families_print(answer);
	if (member(answer, "control.path")) {
		key_write("control");
		value_write(member_text(answer, "control.path"));
	}
	return 0;
}
