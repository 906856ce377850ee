/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether an open socket still fits the configuration: a digest of the settings whose change
 * requires a new socket, and one of the others. Only the values count: writing out a default
 * changes nothing.
 */
#include "config/config.h"
#include "config/endpoint_legs.h"
#include "config/schema.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static void add(XXH3_state_t *state, const void *bytes, size_t len)
{
	XXH3_64bits_update(state, bytes, len);
}

/* With its end, so that two texts never read as two others. */
static void add_text(XXH3_state_t *state, const char *text)
{
	if (text)
		add(state, text, strlen(text) + 1);
	else
		add(state, "\xff", 1);
}

static void add_value(XXH3_state_t *state, const struct spliced_option *option,
		      const struct spliced_value *value)
{
	unsigned char is_set = value->state != SPLICED_UNSET;

	add_text(state, option->name);
	add(state, &is_set, sizeof(is_set));
	if (!is_set)
		return;
	add(state, &value->number, sizeof(value->number));
	add_text(state, value->text);
	add(state, &value->list_len, sizeof(value->list_len));
	for (uint32_t i = 0; i < value->list_len; i++)
		add_text(state, value->list[i]);
}

/* Options with that flag, without option number `host`: it counts by its address. */
static void add_options(XXH3_state_t *state, const struct spliced_option *options, size_t n,
			const struct config_value *values, uint32_t flag, int host)
{
	for (size_t i = 0; i < n; i++)
		if ((options[i].flags & flag) && (int)i != host)
			add_value(state, &options[i], &values[i].value);
}

/* The name is no property of a socket. */
static void add_all(XXH3_state_t *state, const struct config_endpoint *endpoint,
		    const struct config_leg *leg, uint32_t flag)
{
	add_options(state, leg->family->options, leg->family->plugin.n_options, leg->values, flag,
		    leg->host_option);
	add_options(state, schema_endpoint + 1, ENDPOINT_OPTIONS - 1, endpoint->values + 1, flag,
		    -1);
}

uint64_t config_leg_digest(const struct config_endpoint *endpoint, const struct config_leg *leg)
{
	_Static_assert(ENDPOINT_NAME == 0, "add_all() leaves out the first");
	XXH3_state_t state;

	XXH3_64bits_reset(&state);
	add_text(&state, leg->family->name);
	add(&state, &endpoint->role, sizeof(endpoint->role));
	add(&state, &leg->row->type, sizeof(leg->row->type));
	add(&state, &leg->row->protocol, sizeof(leg->row->protocol));
	add_text(&state, leg->host_name);
	add(&state, &leg->address.len, sizeof(leg->address.len));
	add(&state, &leg->address.storage, leg->address.len);
	if (leg->row->capabilities & SPLICED_FEED && leg->options.far) {
		add_text(&state, leg->options.format);
		add(&state, &leg->options.far->type, sizeof(leg->options.far->type));
		add(&state, &leg->options.far->link_type, sizeof(leg->options.far->link_type));
		add(&state, &leg->options.far->max_message, sizeof(leg->options.far->max_message));
	}
	add_all(&state, endpoint, leg, SPLICED_REOPEN);
	return XXH3_64bits_digest(&state);
}

uint64_t config_leg_live_digest(const struct config_endpoint *endpoint,
				const struct config_leg *leg)
{
	XXH3_state_t state;

	XXH3_64bits_reset(&state);
	add_all(&state, endpoint, leg, SPLICED_LIVE);
	add(&state, &endpoint->largest_frame, sizeof(endpoint->largest_frame));
	return XXH3_64bits_digest(&state);
}
