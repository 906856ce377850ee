/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables of routes, targets, listeners, sessions; a line each. A cell that lists things joins them
 * by commas, without blanks, and free text comes last, so that `-H` lines split well in a shell.
 */
#include "member.h"
#include "table.h"
#include "view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One line of a table from one element of the answer. */
typedef void listing_line(struct table *table, const json_t *element);

struct listing {
	const char *name; /* the answer's member */
	const struct table_column *columns;
	size_t n_columns;
	listing_line *line;
};

#define LISTING(member_name, table_columns, fill_line)                           \
	{                                                                        \
		.name = (member_name), .columns = (table_columns),               \
		.n_columns = sizeof(table_columns) / sizeof((table_columns)[0]), \
		.line = (fill_line),                                             \
	}

static int listing_print(const struct listing *listing, const json_t *answer,
			 const struct view *view)
{
	const json_t *elements = member(answer, listing->name);
	struct table table;
	size_t i;
	int r;

	if (!json_is_array(elements))
		return -EBADMSG;
	table_init(&table, view, listing->columns, listing->n_columns);
	for (i = 0; i < json_array_size(elements); i++) {
		table_line(&table);
		listing->line(&table, json_array_get(elements, i));
	}
	r = table_print(&table);
	table_done(&table);
	return r;
}

/* One thing of a list that is written into one cell. */
typedef void joined_write(const json_t *element, FILE *file);

static void table_joined(struct table *table, const json_t *elements, joined_write *write)
{
	char *text = NULL;
	size_t len = 0, i;
	FILE *file = open_memstream(&text, &len);

	for (i = 0; file && i < json_array_size(elements); i++) {
		if (i > 0)
			fputc(',', file);
		write(json_array_get(elements, i), file);
	}
	if (!file || fclose(file) != 0)
		table->error = -ENOMEM;
	else
		table_text(table, text);
	free(text);
}

static void address_write(const json_t *address, FILE *file)
{
	const char *text = json_string_value(address);

	fputs(text ? text : "-", file);
}

static void dialled_write(const json_t *address, FILE *file)
{
	fputs("dial:", file);
	address_write(address, file);
}

static void target_write(const json_t *target, FILE *file)
{
	fputs(member_text(target, "name"), file);
	if (strcmp(member_text(target, "state"), "up") != 0)
		fprintf(file, "(%s)", member_text(target, "state"));
	if (*member_text(target, "hand"))
		fprintf(file, "(%s)", member_text(target, "hand"));
}

static const struct table_column route_columns[] = {
	{"ROUTE", false},      {"STATE", false},  {"LISTEN", false}, {"TARGETS", false},
	{"SESSIONS", true},    {"LIMIT", true},	  {"TOTAL", true},   {"TO-TARGET", true},
	{"FROM-TARGET", true}, {"REFUSED", true}, {"PLACE", false},  {"TITLE", false},
};

static void route_line(struct table *table, const json_t *route)
{
	json_int_t limit = member_number(route, "sessions.limit");
	const json_t *dial = member(route, "dial");

	table_text(table, member_text(route, "name"));
	table_text(table, !member_true(route, "enabled")	    ? "disabled"
			  : strchr(member_text(route, "hand"), ',') ? "drained,held"
			  : *member_text(route, "hand")		    ? member_text(route, "hand")
								    : "enabled");
	if (json_array_size(dial) > 0)
		table_joined(table, dial, dialled_write);
	else
		table_joined(table, member(route, "listen"), address_write);
	table_joined(table, member(route, "targets"), target_write);
	table_number(table, member_number(route, "sessions.active"));
	if (limit > 0)
		table_number(table, limit);
	else
		table_text(table, "");
	table_number(table, member_number(route, "sessions.total"));
	table_size(table, member_number(route, "bytes.to_target"));
	table_size(table, member_number(route, "bytes.from_target"));
	table_number(table, member_number(route, "refused"));
	table_text(table, member_text(route, "place"));
	table_text(table, member_text(route, "title"));
}

static const struct table_column target_columns[] = {
	{"TARGET", false}, {"ADDRESS", false}, {"STATE", false},
	{"WEIGHT", true},  {"ACTIVE", true},   {"FAILURES", true},
	{"DOWNS", true},   {"SINCE", true},    {"WHY", false},
};

/* As the verbs that change it want it: ROUTE/TARGET. */
static void target_name(struct table *table, const json_t *target)
{
	char *text = NULL;

	if (asprintf(&text, "%s/%s", member_text(target, "route"), member_text(target, "name")) < 0)
		table->error = -ENOMEM;
	else
		table_text(table, text);
	free(text);
}

static void target_state(struct table *table, const json_t *target)
{
	char *text = NULL;

	if (asprintf(&text, "%s%s%s%s", member_text(target, "state"),
		     member_true(target, "backup") ? ",backup" : "",
		     *member_text(target, "hand") ? "," : "", member_text(target, "hand")) < 0)
		table->error = -ENOMEM;
	else
		table_text(table, text);
	free(text);
}

static void target_line(struct table *table, const json_t *target)
{
	target_name(table, target);
	table_text(table, member_text(target, "address"));
	target_state(table, target);
	table_number(table, member_number(target, "weight"));
	table_number(table, member_number(target, "active"));
	table_number(table, member_number(target, "failures"));
	table_number(table, member_number(target, "downs"));
	if (json_is_number(member(target, "since")))
		table_age(table, member_real(target, "since"));
	else
		table_text(table, "");
	table_text(table, member_text(target, "why"));
}

static const struct table_column listener_columns[] = {
	{"ROUTE", false},  {"ADDRESS", false}, {"STATE", false},
	{"SOCKETS", true}, {"ACCEPTED", true}, {"REASON", false},
};

static void listener_line(struct table *table, const json_t *listener)
{
	table_text(table, member_text(listener, "route"));
	table_text(table, member_text(listener, "address"));
	table_text(table, member_text(listener, "state"));
	table_number(table, member_number(listener, "sockets"));
	table_number(table, member_number(listener, "accepted"));
	table_text(table, member_text(listener, "reason"));
}

static const struct table_column session_columns[] = {
	{"ID", false},	  {"ROUTE", false},	{"PEER", false},     {"TARGET", false},
	{"AGE", true},	  {"IDLE", true},	{"TO-TARGET", true}, {"FROM-TARGET", true},
	{"STATE", false}, {"WAITS-FOR", false},
};

static void session_line(struct table *table, const json_t *session)
{
	table_text(table, member_text(session, "id"));
	table_text(table, member_text(session, "route"));
	table_text(table, member_text(session, "peer"));
	table_text(table, member_text(session, "target"));
	table_age(table, member_real(session, "age"));
	table_age(table, member_real(session, "idle"));
	table_size(table, member_number(session, "bytes.to_target"));
	table_size(table, member_number(session, "bytes.from_target"));
	table_text(table, member_text(session, "state"));
	table_text(table, member_text(session, "waits_for"));
}

int tables_print_routes(const json_t *answer, const struct view *view)
{
	static const struct listing listing = LISTING("routes", route_columns, route_line);
	int r;

	r = listing_print(&listing, answer, view);
	if (r == 0 && view->headings)
		messages_print(member(answer, "routes"));
	return r;
}

int tables_print_targets(const json_t *answer, const struct view *view)
{
	static const struct listing listing = LISTING("targets", target_columns, target_line);

	return listing_print(&listing, answer, view);
}

int tables_print_listeners(const json_t *answer, const struct view *view)
{
	static const struct listing listing = LISTING("listeners", listener_columns, listener_line);

	return listing_print(&listing, answer, view);
}

int tables_print_sessions(const json_t *answer, const struct view *view)
{
	static const struct listing listing = LISTING("sessions", session_columns, session_line);

	return listing_print(&listing, answer, view);
}
