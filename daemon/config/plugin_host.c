/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What plugins may call. SPLICED_ERROR(): a callback reports only which option of which endpoint is
 * wrong; the caller, on the same thread, adds file and line. A family cannot keep what it was
 * given, so the state here is valid for one call only.
 */
#include "config/plugin_host.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/report.h"
#include "config/check.h"
#include "net/callback.h"
#include "net/plugin_count.h"

#include <stdatomic.h>
#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

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

/* ---- log and counts ---- */

enum { LOG_TOPICS = 64, LOG_SECONDS = 10 };

/* By the address of a format string: when a line of it was logged last, s, CLOCK_MONOTONIC, 0:
 * never; how many came since. Two that share a place are logged as one. */
static struct {
	_Atomic uint32_t at, count;
} topics[LOG_TOPICS];

/* Whether a line of this format may be logged now. *times: how many it stands for. */
static bool may_log(const char *format, uint32_t *times)
{
	uint64_t hash = XXH3_64bits(&format, sizeof(format));
	uint32_t now = (uint32_t)(clock_monotonic() / NSEC_PER_SEC) + 1;
	uint32_t at = atomic_load(&topics[hash % LOG_TOPICS].at);

	atomic_fetch_add(&topics[hash % LOG_TOPICS].count, 1);
	if ((at && now - at < LOG_SECONDS) ||
	    !atomic_compare_exchange_strong(&topics[hash % LOG_TOPICS].at, &at, now))
		return false;
	*times = atomic_exchange(&topics[hash % LOG_TOPICS].count, 0);
	return true;
}

/* Only the processes that act record which callback runs. */
static const struct family *acting_family(void)
{
	return callback_state.word ? callback_state.family : NULL;
}

static void hear_log(const struct spliced_options *options, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void hear_log(const struct spliced_options *options, int level, const char *format, ...)
{
	const struct family *family = acting_family();
	char text[512], repeated[64] = "";
	uint32_t times;
	va_list args;

	(void)options;
	level = level < LOG_ERR ? LOG_ERR : level > LOG_DEBUG ? LOG_DEBUG : level;
	if (!family || level > log_level() || !may_log(format, &times))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (times > 1)
		snprintf(repeated, sizeof(repeated), ", %u times since this was last logged",
			 times);
	log_write(level, "family %s: %s%s", family->name, text, repeated);
}

static void hear_count(const struct spliced_options *options, unsigned counter, uint64_t more)
{
	const struct family *family = acting_family();

	(void)options;
	if (family)
		plugin_count(family, counter, more);
}

const struct spliced_host plugin_host = {
	.size = sizeof(plugin_host),
	.abi_minor = SPLICED_ABI_MINOR,
	.error = hear_error,
	.log = hear_log,
	.count = hear_count,
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
