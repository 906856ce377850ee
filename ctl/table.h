/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A table on standard output, built cell by cell. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct view;

struct table_column {
	const char *name;
	bool right; /* aligned for numbers */
};

/* The first error sticks: cells are added without looking, and table_print() returns it. */
struct table {
	const struct view *view;
	struct libscols_table *scols;
	struct libscols_line *line;
	size_t column;
	int error;
};

void table_init(struct table *table, const struct view *view, const struct table_column *columns,
		size_t n_columns);
void table_done(struct table *table);

void table_line(struct table *table);
/* Fill the line's cells from left to right. "" becomes "-", so that every line has as many words as
 * there are columns. */
void table_text(struct table *table, const char *text);
void table_number(struct table *table, json_int_t number);
void table_size(struct table *table, json_int_t bytes);
void table_age(struct table *table, double seconds);

/* 0 or negative errno. An empty table prints nothing. */
int table_print(struct table *table);
