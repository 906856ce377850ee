/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pairs. All is decided from two rows and what was said of framing and format, never from names:
 *
 *   stream and stream     as they are; or both are framed, each in its way
 *   message and message   as they are
 *   message and stream    the stream end names a framing, where a direction that carries anything
 *                         needs one
 */
#include "config/pair.h"

#include "config/check.h"
#include "config/config.h"
#include "net/capture.h"
#include "net/family.h"

static const char choices[] =
	"length16, length32, line, netstring, octet-count, slip, nul, or none if "
	"message boundaries do not matter";

static bool has(const struct config_leg *leg, uint64_t capability)
{
	return leg->row->capabilities & capability;
}

/* A capture is only read; no program writes frames in its format. */
bool config_is_receive_only(const struct config_endpoint *endpoint, const struct config_leg *leg)
{
	if (endpoint->format && (has(leg, SPLICED_FEED) || capture_is_format(endpoint->format)))
		return true;
	return leg->mute;
}

static bool is_message(const struct config_leg *leg)
{
	return has(leg, SPLICED_BOUNDARIES);
}

/* Both ends are streams. */
static bool check_streams(struct check *check, const struct config_endpoint *front,
			  const struct config_endpoint *target)
{
	const struct config_endpoint *one = front->framing ? front : target;
	const struct config_endpoint *other = front->framing ? target : front;

	if (!front->framing == !target->framing)
		return true;
	check_error(check, one->values[ENDPOINT_FRAMING].location,
		    "%s.framing is set on only one of two streams, and has no effect; remove "
		    "it, or set one on %s, too",
		    one->key, other->key);
	return false;
}

/* A stream end and a message end. */
static bool check_framing(struct check *check, const struct config_endpoint *stream,
			  const struct config_endpoint *message, const struct config_leg *leg)
{
	bool outward = !message->format || message->format->framing == SPLICED_FRAMING_UNSET;
	bool inward = !config_is_receive_only(message, leg);

	if (stream->framing || (!outward && !inward))
		return true;
	check_error(check, stream->location,
		    "%s is a stream and %s carries messages, so the stream needs a framing; set "
		    "framing = %s",
		    stream->key, message->key, choices);
	return false;
}

static bool check_legs(struct check *check, const struct config_endpoint *front,
		       const struct config_leg *from, const struct config_endpoint *target,
		       const struct config_leg *to)
{
	if (config_is_receive_only(front, from) && config_is_receive_only(target, to)) {
		check_error(check, target->location,
			    "neither %s nor %s can be sent to, so no traffic is possible; use "
			    "another target",
			    front->key, target->key);
		return false;
	}
	if (!is_message(from) && !is_message(to))
		return check_streams(check, front, target);
	if (is_message(from) && is_message(to))
		return true;
	return is_message(from) ? check_framing(check, target, front, from)
				: check_framing(check, front, target, to);
}

static bool is_datagram(const struct config_endpoint *front)
{
	return front->role == SPLICED_LISTEN && has(&front->legs[0], SPLICED_CONNECTIONLESS);
}

/* True: the setting has no use here, and the route itself has it. One from defaults is not an
 * error, and is removed, so that the printed route reads as the same route. */
static bool is_misplaced(struct config_value *value, bool is_useful)
{
	if (value->value.state == SPLICED_UNSET || is_useful)
		return false;
	if (!value->inherited)
		return true;
	*value = (struct config_value){0};
	return false;
}

/* Without replies there are no sessions that could be counted. */
static void check_places(struct check *check, const struct config_route *route)
{
	const struct spliced_value *replies = &route->values[ROUTE_REPLIES].value;

	for (unsigned i = 0;
	     replies->state == SPLICED_SET && !replies->number && i < route->n_targets; i++) {
		const struct config_value *most = &route->targets[i].values[ENDPOINT_MAX_SESSIONS];

		if (most->value.state == SPLICED_SET && most->value.number)
			check_error(check, most->location,
				    "target.max_sessions is for sessions, and a route with "
				    "replies = 0 has none; remove it");
	}
}

/* The route's own settings that only some pairs have a use for. */
static void check_settings(struct check *check, struct config_route *route,
			   const struct config_endpoint *front,
			   const struct config_endpoint *target)
{
	struct config_value *replies = &route->values[ROUTE_REPLIES];
	struct config_value *overflow = &route->values[ROUTE_OVERFLOW];
	bool has_messages =
		is_message(&front->legs[0]) || is_message(&target->legs[0]) || front->framing;

	if (is_misplaced(replies, is_datagram(front)))
		check_error(check, replies->location,
			    "replies is only for datagram sessions, and %s has none; "
			    "remove it",
			    front->key);
	if (is_misplaced(overflow, has_messages))
		check_error(check, overflow->location,
			    "overflow is only for messages; this route forwards streams, which are "
			    "always held back; remove it");
}

/* Checks each endpoint with each one of the other side; for one that does not fit, one error is
 * reported. */
static void check_front(struct check *check, const struct config_route *route,
			const struct config_endpoint *front)
{
	bool well = true;

	for (unsigned i = 0; i < route->n_targets && well; i++)
		for (unsigned k = 0; k < front->n_legs && well; k++)
			for (unsigned l = 0; l < route->targets[i].n_legs && well; l++)
				well = check_legs(check, front, &front->legs[k], &route->targets[i],
						  &route->targets[i].legs[l]);
}

/* Each endpoint gets the properties of the other. */
static void introduce(struct config_endpoint *endpoints, unsigned n, const struct spliced_row *far)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < endpoints[i].n_legs; k++)
			endpoints[i].legs[k].options.far = far;
}

/* ... and how long a message may be that becomes of a frame. */
static void tell_frames(struct config_endpoint *endpoints, unsigned n,
			const struct config_endpoint *far, unsigned n_far)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < n_far && is_message(&endpoints[i].legs[0]) &&
				     !has(&endpoints[i].legs[0], SPLICED_FEED);
		     k++)
			if (far[k].framing > SPLICED_FRAMING_NONE &&
			    far[k].max_frame > endpoints[i].largest_frame)
				endpoints[i].largest_frame = far[k].max_frame;
}

void pair_check(struct check *check, struct config_route *route)
{
	const struct config_endpoint *front = route->n_listen ? route->listen : route->dial;

	if (!route->n_targets || (!route->n_listen && !route->n_dial))
		return;
	introduce(route->listen, route->n_listen, route->targets[0].legs[0].row);
	introduce(route->dial, route->n_dial, route->targets[0].legs[0].row);
	introduce(route->targets, route->n_targets, front->legs[0].row);
	tell_frames(route->listen, route->n_listen, route->targets, route->n_targets);
	tell_frames(route->dial, route->n_dial, route->targets, route->n_targets);
	tell_frames(route->targets, route->n_targets, route->listen, route->n_listen);
	tell_frames(route->targets, route->n_targets, route->dial, route->n_dial);
	for (unsigned i = 0; i < route->n_listen; i++)
		if (!route->listen[i].continues) /* all of a range are alike */
			check_front(check, route, &route->listen[i]);
	for (unsigned i = 0; i < route->n_dial; i++)
		check_front(check, route, &route->dial[i]);
	check_settings(check, route, front, &route->targets[0]);
	check_places(check, route);
}
