/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rows and options of one family, by what an operator calls them. */
#include "net/family.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const struct {
	int type;
	const char *name;
} types[] = {
	{SOCK_STREAM, "stream"}, {SOCK_DGRAM, "dgram"}, {SOCK_SEQPACKET, "seqpacket"},
	{SOCK_RDM, "rdm"},	 {SOCK_RAW, "raw"},
};

const char *family_type_name(int type)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].type == type)
			return types[i].name;
	return NULL;
}

int family_type_from_name(const char *name)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (!strcmp(types[i].name, name))
			return types[i].type;
	return -1;
}

/* By name, or by socket(2)'s number as text. */
static bool is_protocol(const struct spliced_row *row, const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	return row->name && (!strcmp(row->name, text) ||
			     (*text >= '0' && *text <= '9' && !*end && number == row->protocol));
}

const struct spliced_row *family_row(const struct family *family, int type, const char *protocol)
{
	const struct spliced_row *row = family->rows;

	for (uint32_t i = 0; i < family->plugin.n_rows; i++, row++) {
		if (type >= 0 && row->type != type)
			continue;
		if (protocol && !is_protocol(row, protocol))
			continue;
		return row;
	}
	return NULL;
}

const struct spliced_option *family_option(const struct family *family, const char *name)
{
	for (uint32_t i = 0; i < family->plugin.n_options; i++)
		if (strcmp(family->options[i].name, name) == 0)
			return &family->options[i];
	return NULL;
}

bool family_option_applies(const struct family *family, const struct spliced_row *row,
			   uint32_t role, const struct spliced_option *option)
{
	return (option->roles == 0 || (option->roles & role)) &&
	       (option->rows == 0 || (option->rows & UINT64_C(1) << (row - family->rows)));
}

int family_host_option(const struct family *family, const struct spliced_row *row, uint32_t role)
{
	for (uint32_t i = 0; i < family->plugin.n_options; i++)
		if (family->options[i].type == SPLICED_HOST &&
		    family_option_applies(family, row, role, &family->options[i]))
			return (int)i;
	return -1;
}
