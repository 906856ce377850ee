/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Message counters, a line for each route that has any, below the table of routes: most routes move
 * streams, and a dozen empty columns would hide the others.
 */
#include "base/counter.h"
#include "human.h"
#include "member.h"
#include "view.h"

#include <stdio.h>

/* What has been written of the line so far, and how to go on. */
struct line {
	const char *route;
	bool is_open;
};

static void part_begin(struct line *line)
{
	if (!line->is_open) {
		human_write(line->route, stdout);
		fputs(": ", stdout);
	} else {
		fputs(", ", stdout);
	}
	line->is_open = true;
}

static void part_write(struct line *line, const char *what, const char *which, json_int_t number)
{
	if (number == 0)
		return;
	part_begin(line);
	fputs(what, stdout);
	human_write(which, stdout);
	printf(" %" JSON_INTEGER_FORMAT, number);
}

static void drops_write(struct line *line, const json_t *dropped)
{
	/* borrowed, and only walked: jansson's iterator is not const */
	void *at = json_object_iter((json_t *)dropped);

	for (; at; at = json_object_iter_next((json_t *)dropped, at))
		part_write(line, "dropped ", json_object_iter_key(at),
			   json_integer_value(json_object_iter_value(at)));
}

static void route_write(const json_t *route)
{
	struct line line = {.route = member_text(route, "name")};

	for (int i = 0; i < COUNTERS_COUNT; i++) {
		if (counters[i].label)
			part_write(&line, counters[i].label, "",
				   member_number(route, counters[i].path));
		if (i == COUNTER_EVICTED)
			drops_write(&line, member(route, "dropped"));
	}
	if (line.is_open)
		putchar('\n');
}

void messages_print(const json_t *routes)
{
	for (size_t i = 0; i < json_array_size(routes); i++)
		route_write(json_array_get(routes, i));
}
