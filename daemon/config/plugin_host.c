/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Receives SPLICED_ERROR(). A callback reports only which option of which endpoint is wrong; the
 * caller, on the same thread, adds file and line. A family cannot keep what it was given, so the
 * state here is valid for one call only.
 */
#include "config/plugin_host.h"

#include "base/report.h"
#include "config/check.h"

#include <stdio.h>

static _Thread_local struct {
	const struct config *config;
	const struct config_route *route;
	const struct config_endpoint *endpoint;
	const struct config_leg *leg;
	struct report *report;
} heard;

static void hear_error(const struct spliced_options *options, int option, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void hear_error(const struct spliced_options *options, int option, const char *format, ...)
{
	struct location location;
	char text[1024], where[320];
	bool is_option;
	va_list args;

	if (!heard.report)
		return;
	is_option = option >= 0 && (uint32_t)option < options->n_values &&
		    (uint32_t)option < heard.leg->options.n_values;
	location = is_option ? heard.leg->values[option].location : heard.endpoint->location;
	if (location.line == 0)
		location = heard.endpoint->location;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_add_at(heard.report, location_order(location), "%s: route %s: %s: %s",
		      config_location_text(heard.config, location, where, sizeof(where)),
		      heard.route->name,
		      heard.endpoint->role == SPLICED_LISTEN ? "listen" : "target", text);
}

const struct spliced_host plugin_host = {
	.size = sizeof(plugin_host),
	.abi_minor = SPLICED_ABI_MINOR,
	.error = hear_error,
};

void config_hear(const struct config *config, const struct config_route *route,
		 const struct config_endpoint *endpoint, const struct config_leg *leg,
		 struct report *report)
{
	heard.config = config;
	heard.route = route;
	heard.endpoint = endpoint;
	heard.leg = leg;
	heard.report = report;
}

void config_hear_nothing(void)
{
	heard.report = NULL;
}
