/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Health checks, as `health` of a route and of a target describes them. For each key a target's own
 * setting overrides its route's, and that overrides `defaults`; an HTTP request and text to send
 * exclude each other, wherever they are set.
 */
#pragma once

#include "config/config.h"

#include <stddef.h>

struct check;
struct setting;

enum { HEALTH_STATUSES_MAX = 16, HEALTH_ANSWER_MAX = 4096 /* bytes that are judged */ };

struct config_health {
	uint64_t interval, timeout; /* ns */
	uint32_t rise, fall;
	uint16_t port;	    /* 0: the target's own */
	const char *http;   /* path of a request, or NULL */
	const char *status; /* as written */
	struct {
		uint16_t low, high;
	} statuses[HEALTH_STATUSES_MAX];
	unsigned n_statuses;
	const char *send, *expect; /* bytes, or NULL */
	size_t send_len, expect_len;
	uint64_t digest; /* of all this, and of where it is asked: equal digests are one check */
};

/* A `health` that is there, even an empty group, means checks. `values` are the first of the
 * group's HEALTH_OPTIONS. */
void health_note_group(const struct setting *group, struct config_value *values);

/* Inherits from `defaults` what the route does not set. */
void health_inherit(struct config_value *values, const struct config_value *defaults);

/* Reports a `health` that is in another endpoint than a target, or is not a group. */
void health_read_group(struct check *check, const struct setting *group,
		       struct config_endpoint *endpoint);

/* Sets how each target of the route is checked. Settings from `defaults` apply only to targets that
 * they fit; the route's own settings that do not fit are reported. 0 or -ENOMEM. */
int health_read(struct check *check, struct config_route *route);

/* Whether a status is one of those that are expected. */
bool health_expects_status(const struct config_health *health, unsigned status);
