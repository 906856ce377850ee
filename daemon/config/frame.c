/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages at an endpoint. Framing is a stream's way to keep their edges, a format the family's way
 * to write them. Whether an endpoint needs one of them is not known here: that takes both ends of a
 * route (pair.c).
 */
#include "config/frame.h"

#include "base/text.h"
#include "config/check.h"
#include "config/schema.h"
#include "config/value.h"

#include <stdio.h>
#include <string.h>

/* Times max_frame: what a receive buffer must be, for a whole frame to be there at once. */
enum { FRAMES_BUFFERED = 4 };

/* The leg's format of that name; "raw" is none. */
static const struct spliced_format *find_format(const struct config_leg *leg, const char *name)
{
	uint64_t row = UINT64_C(1) << (leg->row - leg->family->rows);

	for (uint32_t i = 0; i < leg->family->plugin.n_formats; i++) {
		const struct spliced_format *format = &leg->family->formats[i];

		if (strcmp(format->name, name) == 0 && (!format->rows || format->rows & row))
			return format;
	}
	return NULL;
}

static void report_format(struct check *check, const struct config_endpoint *endpoint)
{
	const struct config_value *value = &endpoint->values[ENDPOINT_FORMAT];
	const struct config_leg *leg = &endpoint->legs[0];
	struct text_nearest nearest;
	char known[256] = "raw";
	size_t len = strlen(known);

	text_nearest_init(&nearest, value->value.text);
	text_nearest_offer(&nearest, "raw");
	for (uint32_t i = 0; i < leg->family->plugin.n_formats && len < sizeof(known); i++) {
		const char *name = leg->family->formats[i].name;

		if (!find_format(leg, name))
			continue;
		text_nearest_offer(&nearest, name);
		len += (size_t)snprintf(known + len, sizeof(known) - len, ", %s", name);
	}
	check_error(check, value->location,
		    "%s.format is \"%s\"; %s%s%s%s sockets of family \"%s\" have: %s",
		    endpoint->key, value->value.text, nearest.best ? "did you mean \"" : "",
		    nearest.best ? nearest.best : "", nearest.best ? "\"? " : "",
		    family_type_name(leg->row->type), endpoint->family, known);
}

/* Their messages are handed to sessions by the listener, which runs no format. */
static bool has_datagram_clients(const struct config_endpoint *endpoint)
{
	uint64_t capabilities = endpoint->legs[0].row->capabilities;

	return endpoint->role == SPLICED_LISTEN && capabilities & SPLICED_CONNECTIONLESS &&
	       !(capabilities & SPLICED_FEED);
}

static void read_format(struct check *check, struct config_endpoint *endpoint)
{
	const struct spliced_value *value = &endpoint->values[ENDPOINT_FORMAT].value;

	if (value->state == SPLICED_UNSET || strcmp(value->text, "raw") == 0)
		return;
	endpoint->format = find_format(&endpoint->legs[0], value->text);
	if (!endpoint->format)
		report_format(check, endpoint);
	else if (has_datagram_clients(endpoint))
		check_error(check, endpoint->values[ENDPOINT_FORMAT].location,
			    "%s.format: datagrams of clients are forwarded as they are; remove it, "
			    "or set it on the target",
			    endpoint->key);
}

static int read_max_frame(struct check *check, struct config_endpoint *endpoint)
{
	struct spliced_value value = endpoint->values[ENDPOINT_MAX_FRAME].value;
	int r = 0;

	if (value.state == SPLICED_UNSET)
		r = value_set_default(check->arena, &schema_endpoint[ENDPOINT_MAX_FRAME], &value);
	endpoint->max_frame = (uint32_t)value.number;
	return r;
}

static void check_framing(struct check *check, const struct config_endpoint *endpoint)
{
	const struct config_value *rcvbuf = &endpoint->values[ENDPOINT_RCVBUF];
	const struct config_leg *leg = &endpoint->legs[0];
	int64_t least = (int64_t)FRAMES_BUFFERED * endpoint->max_frame;

	if (leg->row->capabilities & SPLICED_BOUNDARIES)
		check_error(check, endpoint->values[ENDPOINT_FRAMING].location,
			    "%s.framing: a %s socket preserves message boundaries "
			    "itself; remove it, framing is for streams",
			    endpoint->key, family_type_name(leg->row->type));
	else if (endpoint->framing == SPLICED_FRAMING_AUTO && endpoint->role != SPLICED_LISTEN)
		check_error(
			check, endpoint->values[ENDPOINT_FRAMING].location,
			"%s.framing is \"auto\", which is only for listeners: it depends on what the client sends; use \"octet-count\" or \"line\"",
			endpoint->key);
	else if (endpoint->framing != SPLICED_FRAMING_NONE &&
		 rcvbuf->value.state != SPLICED_UNSET && rcvbuf->value.number < least)
		check_error(
			check, rcvbuf->location,
			"%s.rcvbuf is too small for the framing; it must be at least four times "
			"max_frame, %lld bytes",
			endpoint->key, (long long)least);
}

/* A datagram socket that is bound to one address, and whose peer's may be another. */
static void read_reply_from(struct check *check, struct config_endpoint *endpoint)
{
	const struct config_value *value = &endpoint->values[ENDPOINT_REPLY_FROM];
	uint64_t capabilities = endpoint->legs[0].row->capabilities;

	if (value->value.state == SPLICED_UNSET)
		return;
	endpoint->reply_from = (enum config_reply_from)value->value.number;
	if (strcmp(endpoint->key, "target") != 0)
		check_error(check, value->location, "%s.reply_from is only for targets; remove it",
			    endpoint->key);
	else if (!(capabilities & SPLICED_CONNECTIONLESS) ||
		 capabilities & (SPLICED_RELIABLE | SPLICED_FEED | SPLICED_BINDS))
		check_error(
			check, value->location,
			"%s.reply_from is only for UDP; other sockets receive only from their target; remove it",
			endpoint->key);
}

/* A source port may be shared with other sockets: messages to it are not for one in particular. */
static bool sends_from_port(const struct config_leg *leg)
{
	const struct spliced_option *option = family_option(leg->family, "source");
	const struct spliced_value *source =
		option ? &leg->values[option - leg->family->options].value : NULL;

	return source && source->state != SPLICED_UNSET && source->text && source->text[0] == ':';
}

void frame_check_replies(struct check *check, const struct config_endpoint *endpoint)
{
	const struct config_value *value = &endpoint->values[ENDPOINT_REPLY_FROM];

	if (endpoint->n_legs && endpoint->reply_from == REPLY_FROM_HOST &&
	    address_is_multicast(&endpoint->legs[0].address))
		check_error(
			check, value->location,
			"%s.reply_from is \"host\", but the target is a multicast group, which sends no replies itself; use \"any\"",
			endpoint->key);
	else if (endpoint->n_legs && endpoint->reply_from != REPLY_FROM_TARGET &&
		 sends_from_port(&endpoint->legs[0]))
		check_error(
			check, value->location,
			"%s.reply_from is \"any\", but no reply arrives at a port set by \"source\"; remove one of them",
			endpoint->key);
}

int frame_read(struct check *check, struct config_endpoint *endpoint)
{
	const struct spliced_value *framing = &endpoint->values[ENDPOINT_FRAMING].value;
	int r;

	r = read_max_frame(check, endpoint);
	if (r < 0)
		return r;
	if (framing->state != SPLICED_UNSET) {
		endpoint->framing = (enum spliced_framing)(SPLICED_FRAMING_NONE + framing->number);
		check_framing(check, endpoint);
	}
	read_format(check, endpoint);
	read_reply_from(check, endpoint);
	return 0;
}
