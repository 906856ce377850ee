/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All that a family is asked while a configuration is checked, rules aside. Each answer is written
 * down for a generation, or taken from it.
 */
#include "config/ask.h"

#include "base/report.h"
#include "config/check.h"
#include "config/plugin_host.h"
#include "net/callback.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Asks the family for the address; if the host is a name, for the address of any host, to have the
 * other options checked. -ESRCH: there is one, but a user or group in the options is not known yet;
 * opening the socket will report that again. */
void ask_address(struct check *check, const struct config_route *route,
		 const struct config_endpoint *endpoint, struct config_leg *leg)
{
	static const unsigned char some_inet[4] = {127, 0, 0, 1}, some_inet6[16] = {[15] = 1};
	bool is_inet = leg->row->domain == AF_INET;
	unsigned before = check->reader.report->count;
	size_t len = check->reader.report->len;
	struct address address;
	int64_t r;

	config_hear(check->config, route, endpoint, leg, check->reader.report);
	if (!answers_know(check, ANSWER_ADDRESS, &r, &address, sizeof(address))) {
		r = address_from_options(leg->family, &leg->options, leg->host_option,
					 !leg->host_name ? NULL
					 : is_inet	 ? some_inet
							 : some_inet6,
					 is_inet ? 4 : 16, 0, &address);
		if (r == -ESRCH && check_may_wait(check)) {
			report_cut(check->reader.report, len, before);
			r = 0;
		}
		answers_note(check, ANSWER_ADDRESS, r, &address, sizeof(address));
	}
	config_hear_nothing();
	check->reader.errors += check->reader.report->count - before;
	if (r < 0 && check->reader.report->count == before)
		check_error(check, endpoint->location,
			    "%s: family \"%s\" cannot make an address of this: %s", endpoint->key,
			    leg->family->name, strerror((int)-r));
	if (r >= 0 && !leg->host_name)
		leg->address = address;
}

/* What the family reports of the leg once, for its whole life. */
void ask_mute(struct check *check, struct config_leg *leg)
{
	const struct spliced_plugin *plugin = &leg->family->plugin;
	int64_t r = -ENOTSUP;

	if (!(leg->row->capabilities & SPLICED_RECEIVE_ONLY))
		return;
	if (plugin->may_send && !answers_know(check, ANSWER_MUTE, &r, NULL, 0))
		r = answers_note(
			check, ANSWER_MUTE,
			CALLBACK(leg->family, may_send, plugin->may_send(&leg->options, NULL, 0)),
			NULL, 0);
	leg->mute = r < 0;
}

void ask_system(struct check *check, const struct config_endpoint *endpoint, struct config_leg *leg)
{
	const struct spliced_plugin *plugin = &leg->family->plugin;
	int64_t r;

	/* A socket bound by another process needs none of our resources. */
	if (plugin->privileges && !endpoint->values[ENDPOINT_FD].value.text) {
		if (!answers_know(check, ANSWER_NEEDS, &r, NULL, 0))
			r = answers_note(check, ANSWER_NEEDS,
					 CALLBACK(leg->family, privileges,
						  plugin->privileges(&leg->options)),
					 NULL, 0);
		leg->needs = (uint64_t)r;
	}
	if (plugin->sidecar && endpoint->role == SPLICED_LISTEN) {
		if (!answers_know(check, ANSWER_COMPANION, &r, NULL, 0))
			r = answers_note(
				check, ANSWER_COMPANION,
				CALLBACK(leg->family, sidecar, plugin->sidecar(&leg->options, 0)),
				NULL, 0);
		leg->has_companion = r > 0;
	}
}
