/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "control/refusal.h"

#include "base/text.h"
#include "config/config.h"
#include "control/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

json_t *refusal_say(const char *format, ...)
{
	char text[512];
	json_t *answer;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	answer = json_pack("{s:b, s:o, s:i}", "ok", 0, "error", words_json(text), "exit", 1);
	return answer ? answer : json_null();
}

/* The names that there are, as far as they fit. */
struct known {
	struct text_nearest nearest;
	char names[320];
	size_t len;
	bool full;
};

static void known_init(struct known *known, const char *name)
{
	*known = (struct known){.len = 0};
	text_nearest_init(&known->nearest, name);
}

static void known_add(struct known *known, const char *name)
{
	text_nearest_offer(&known->nearest, name);
	if (known->full || known->len + strlen(name) + 2 >= sizeof known->names) {
		known->full = true;
		return;
	}
	known->len += (size_t)snprintf(known->names + known->len, sizeof known->names - known->len,
				       "%s%s", known->len ? ", " : "", name);
}

json_t *refusal_route(const struct config *config, const char *name)
{
	struct known known;

	known_init(&known, name);
	for (unsigned i = 0; i < config->n_routes; i++)
		known_add(&known, config->routes[i].name);
	if (known.nearest.best)
		return refusal_say("there is no route \"%.64s\"; did you mean \"%s\"?", name,
				   known.nearest.best);
	if (!config->n_routes)
		return refusal_say("there is no route \"%.64s\"; there are no routes", name);
	return refusal_say("there is no route \"%.64s\"; the routes are %s%s", name, known.names,
			   known.full ? ", ..." : "");
}

json_t *refusal_target(const struct config_route *route, const char *name)
{
	struct known known;

	known_init(&known, name);
	for (unsigned i = 0; i < route->n_targets; i++)
		known_add(&known, route->targets[i].name);
	if (known.nearest.best)
		return refusal_say("route %s has no target \"%.64s\"; did you mean \"%.128s\"?",
				   route->name, name, known.nearest.best);
	return refusal_say("route %s has no target \"%.64s\"; its targets are %s%s", route->name,
			   name, known.names, known.full ? ", ..." : "");
}
