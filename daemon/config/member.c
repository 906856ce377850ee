/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/member.h"

#include "config/check.h"
#include "config/schema.h"

#include <string.h>

/* The endpoint's own number, or another. */
static int64_t number_of(const struct config_endpoint *endpoint, enum config_endpoint_option option,
			 int64_t otherwise)
{
	const struct spliced_value *value = &endpoint->values[option].value;

	return value->state == SPLICED_UNSET ? otherwise : value->number;
}

static void check_queue(struct check *check, const struct config_endpoint *endpoint)
{
	if (number_of(endpoint, ENDPOINT_QUEUE, 0) > 0 &&
	    !number_of(endpoint, ENDPOINT_MAX_SESSIONS, 0))
		check_error(check, endpoint->values[ENDPOINT_QUEUE].location,
			    "%s.queue is for sessions beyond %s.max_sessions, which is not set; "
			    "set it, or remove queue",
			    endpoint->key, endpoint->key);
}

void member_check(struct check *check, const struct config_endpoint *endpoint)
{
	if (strcmp(endpoint->key, "target") == 0) {
		check_queue(check, endpoint);
		return;
	}
	for (unsigned i = ENDPOINT_WEIGHT; i < ENDPOINT_HEALTH; i++)
		if (endpoint->values[i].value.state != SPLICED_UNSET)
			check_error(check, endpoint->values[i].location,
				    "%s.%s is only for targets; remove it", endpoint->key,
				    schema_endpoint[i].name);
}

static void settle(const struct config_route *route, struct config_endpoint *endpoint, bool alone)
{
	int64_t failures = route->values[ROUTE_PASSIVE_FAILURES].value.number,
		retry = route->values[ROUTE_PASSIVE_RETRY].value.number;

	endpoint->member = (struct config_member){
		.weight = (uint32_t)number_of(endpoint, ENDPOINT_WEIGHT, 1),
		.alone = alone,
		.backup = number_of(endpoint, ENDPOINT_BACKUP, false),
		.expanded = endpoint->place,
		.service = endpoint->service,
		.slow_start = (uint64_t)number_of(endpoint, ENDPOINT_SLOW_START, 0),
		.max_sessions = (uint32_t)number_of(endpoint, ENDPOINT_MAX_SESSIONS, 0),
		.queue = (uint32_t)number_of(endpoint, ENDPOINT_QUEUE, 0),
		.failures = (uint32_t)number_of(endpoint, ENDPOINT_PASSIVE_FAILURES, failures),
		.retry = (uint64_t)number_of(endpoint, ENDPOINT_PASSIVE_RETRY, retry),
		.backoff = route->backoff,
		.max_backoff = route->max_backoff,
	};
}

void member_settle(struct config_route *route)
{
	for (unsigned i = 0; i < route->n_targets; i++)
		settle(route, &route->targets[i], route->n_targets == 1);
	for (unsigned i = 0; i < route->n_dial; i++)
		settle(route, &route->dial[i], true);
}
