/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Buffers that are granted. What surprised us: setsockopt(2) succeeds where the limit is lower, and
 * the limits (net.core.rmem_max, wmem_max) cannot be read in a network namespace of one's own. So a
 * socket of any family is opened to see what it gets.
 */
#include "keeper/buffer_limits.h"

#include "base/report.h"
#include "config/config.h"
#include "session/endpoint_socket.h"

#include <spliced/plugin.h>

struct asking {
	const struct config *config;
	const struct config_route *route;
	struct report *report;
};

struct buffer {
	enum config_endpoint_option option;
	const char *name, *limit, *then;
	int64_t least, granted; /* bytes */
};

static void warn(const struct asking *asking, const struct config_endpoint *endpoint,
		 const struct buffer *buffer)
{
	const struct config_value *own = &endpoint->values[buffer->option];
	int64_t said = own->value.state == SPLICED_UNSET ? 0 : own->value.number;
	char place[512];

	if (buffer->granted >= said && buffer->granted >= buffer->least)
		return;
	report_add(
		asking->report,
		"%s: warning: route %s: %s %s needs a %s buffer of %lld bytes, but the kernel grants %lld%s; raise net.core.%s (sysctl), or grant "
		"CAP_NET_ADMIN",
		config_location_text(asking->config,
				     own->location.line ? own->location : endpoint->location, place,
				     sizeof place),
		asking->route->name, endpoint->key, endpoint->text, buffer->name,
		(long long)(said > buffer->least ? said : buffer->least),
		(long long)buffer->granted, buffer->granted < buffer->least ? buffer->then : "",
		buffer->limit);
}

static void check(const struct asking *asking, const struct config_endpoint *endpoints, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct socket_options granted = endpoint_socket_options(&endpoints[i]);

		if ((!granted.sndbuf && !granted.rcvbuf) || socket_try_buffers(&granted) < 0)
			continue;
		warn(asking, &endpoints[i],
		     &(struct buffer){ENDPOINT_SNDBUF, "send", "wmem_max",
				      ": longer messages are dropped",
				      endpoint_socket_least_sndbuf(&endpoints[i]), granted.sndbuf});
		warn(asking, &endpoints[i],
		     &(struct buffer){ENDPOINT_RCVBUF, "receive", "rmem_max",
				      ": longer frames wait in a pipe, one per connection",
				      endpoint_socket_least_rcvbuf(&endpoints[i]), granted.rcvbuf});
	}
}

void buffer_limits_check(const struct config *config, struct report *report)
{
	struct asking asking = {.config = config, .report = report};

	for (unsigned i = 0; i < config->n_routes; i++) {
		asking.route = &config->routes[i];
		if (!asking.route->enabled)
			continue;
		check(&asking, asking.route->listen, asking.route->n_listen);
		check(&asking, asking.route->dial, asking.route->n_dial);
		check(&asking, asking.route->targets, asking.route->n_targets);
	}
}
