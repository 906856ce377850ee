/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Health checks, as `health` of a route and of a target describes them. What a target says itself
 * goes before what its route says, and that before `defaults`, key by key; an HTTP request and text
 * to send exclude each other, whoever says which.
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

/* A `health` that is there, be it an empty group, means checks. `values` are the first of the
 * group's HEALTH_OPTIONS. */
void health_note_group(const struct setting *group, struct config_value *values);

/* Takes what `defaults` says and the route does not. */
void health_inherit(struct config_value *values, const struct config_value *defaults);

/* Reports a group `health` that stands in another endpoint than a target, or is none. */
void health_read_group(struct check *check, const struct setting *group,
		       struct config_endpoint *endpoint);

/* Sets what each target of the route is checked by. What only `defaults` says is for those that it
 * fits; what does not fit and is said here is reported. 0 or -ENOMEM. */
int health_read(struct check *check, struct config_route *route);

/* Whether a status is one of those that are expected. */
bool health_expects_status(const struct config_health *health, unsigned status);
