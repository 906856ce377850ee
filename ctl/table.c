/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables, by libsmartcols. It escapes what does not print, measures wide characters, and leaves a
 * table whole where standard output is no terminal.
 */
#include "table.h"
#include "human.h"
#include "view.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>

void table_init(struct table *table, const struct view *view, const struct table_column *columns,
		size_t n_columns)
{
	size_t i;

	*table = (struct table){.view = view, .scols = scols_new_table()};
	if (!table->scols) {
		table->error = -ENOMEM;
		return;
	}
	scols_table_enable_noheadings(table->scols, !view->headings);
	for (i = 0; i < n_columns; i++) {
		if (!scols_table_new_column(table->scols, columns[i].name, 0,
					    columns[i].right ? SCOLS_FL_RIGHT : 0))
			table->error = -ENOMEM;
	}
}

void table_done(struct table *table)
{
	scols_unref_table(table->scols);
	table->scols = NULL;
}

void table_line(struct table *table)
{
	if (table->error < 0)
		return;
	table->column = 0;
	table->line = scols_table_new_line(table->scols, NULL);
	if (!table->line)
		table->error = -ENOMEM;
}

void table_text(struct table *table, const char *text)
{
	if (table->error < 0)
		return;
	table->error = scols_line_set_data(table->line, table->column++, text[0] ? text : "-");
}

void table_number(struct table *table, json_int_t number)
{
	char text[HUMAN_NUMBER_MAX];

	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, number);
	table_text(table, text);
}

void table_size(struct table *table, json_int_t bytes)
{
	char text[HUMAN_NUMBER_MAX];

	if (table->view->exact || bytes < 0)
		table_number(table, bytes);
	else
		table_text(table, human_size((uint64_t)bytes, text));
}

void table_age(struct table *table, double seconds)
{
	char text[HUMAN_NUMBER_MAX];

	if (table->view->exact)
		snprintf(text, sizeof(text), "%.3f", seconds);
	else
		human_age(seconds, text);
	table_text(table, text);
}

int table_print(struct table *table)
{
	if (table->error < 0)
		return table->error;
	return scols_print_table(table->scols);
}
