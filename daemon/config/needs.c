/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a configuration takes of the system. */
#include "config/needs.h"

#include "config/config.h"
#include "net/family.h"

#include <linux/capability.h>
#include <stdbool.h>

enum { PRIORITY_FREE = 6 }; /* socket(7), SO_PRIORITY */

static uint64_t bit(unsigned capability)
{
	return 1ull << capability;
}

uint64_t needs_of_endpoint(const struct config_endpoint *endpoint)
{
	const struct spliced_value *priority = &endpoint->values[ENDPOINT_PRIORITY].value;
	uint64_t needs = 0;

	for (unsigned i = 0; i < endpoint->n_legs; i++)
		needs |= endpoint->legs[i].needs;
	if (endpoint->values[ENDPOINT_MARK].value.state != SPLICED_UNSET ||
	    (priority->state != SPLICED_UNSET && priority->number > PRIORITY_FREE))
		needs |= bit(CAP_NET_ADMIN);
	if (endpoint->values[ENDPOINT_NETNS].value.state != SPLICED_UNSET)
		needs |= bit(CAP_SYS_ADMIN);
	return needs;
}

void needs_each_endpoint(const struct config *config,
			 void (*visit)(const struct config_endpoint *endpoint, void *data),
			 void *data)
{
	for (unsigned i = 0; i < config->n_routes; i++) {
		const struct config_route *route = &config->routes[i];

		for (unsigned k = 0; k < route->n_listen; k++)
			visit(&route->listen[k], data);
		for (unsigned k = 0; k < route->n_dial; k++)
			visit(&route->dial[k], data);
		for (unsigned k = 0; k < route->n_targets; k++)
			visit(&route->targets[k], data);
	}
}

static void add_needs(const struct config_endpoint *endpoint, void *data)
{
	*(uint64_t *)data |= needs_of_endpoint(endpoint);
}

uint64_t needs_of_config(const struct config *config)
{
	uint64_t needs = 0;

	needs_each_endpoint(config, add_needs, &needs);
	return needs;
}

/* SO_RCVBUFFORCE, SO_SNDBUFFORCE: feeds have large buffers by themselves. */
static void add_wishes(const struct config_endpoint *endpoint, void *data)
{
	bool is_feed = endpoint->n_legs && endpoint->legs[0].row->capabilities & SPLICED_FEED;

	if (is_feed || endpoint->values[ENDPOINT_RCVBUF].value.state != SPLICED_UNSET ||
	    endpoint->values[ENDPOINT_SNDBUF].value.state != SPLICED_UNSET ||
	    endpoint->framing > SPLICED_FRAMING_NONE)
		*(uint64_t *)data |= bit(CAP_NET_ADMIN);
}

uint64_t needs_wishes(const struct config *config)
{
	uint64_t wishes = 0;

	needs_each_endpoint(config, add_wishes, &wishes);
	return wishes;
}
