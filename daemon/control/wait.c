/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "control/wait.h"

#include "base/clock.h"
#include "base/text.h"
#include "config/config.h"
#include "control/refusal.h"
#include "control/words.h"
#include "dispatch/target.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "session/thread.h"

#include <stdio.h>
#include <string.h>

static const char usage[] = "wait requires ROUTE/TARGET, then up or down";

static uint32_t slot_of(const struct wait *wait, const struct thread *clerk)
{
	return clerk->worker->generations->target_slots[wait->place.route][wait->place.target];
}

static json_t *parse_time(const json_t *request, uint64_t *ret)
{
	const char *text = json_string_value(json_object_get(request, "timeout"));
	int64_t time;

	if (text_parse_duration(text ? text : "30s", &time) || time < 0 ||
	    (uint64_t)time > LEDGER_WAIT_SECONDS_MAX * NSEC_PER_SEC)
		return refusal_say(
			"--timeout must be a time as in \"30s\" or \"5min\", at most 24h");
	*ret = (uint64_t)time;
	return NULL;
}

json_t *wait_ask(struct wait *wait, struct thread *clerk, const json_t *request,
		 struct ledger_control *record)
{
	const char *name = json_string_value(json_object_get(request, "name"));
	const char *state = json_string_value(json_object_get(request, "state"));
	json_t *refusal;
	uint64_t time = 0;

	if (!name || !state || (strcmp(state, "up") && strcmp(state, "down")))
		return refusal_say("%s", usage);
	refusal = operate_find(clerk->worker->generations, name, &wait->place);
	if (refusal)
		return refusal;
	if (wait->place.target == OPERATE_WHOLE)
		return refusal_say("%s", usage);
	refusal = parse_time(request, &time);
	if (refusal)
		return refusal;
	wait->known = true;
	record->target = clerk->worker->ledger->targets[slot_of(wait, clerk)].digest;
	record->until = clerk->loop.now + time;
	record->for_down = !strcmp(state, "down");
	return NULL;
}

void wait_adopt(struct wait *wait, struct thread *clerk, const struct ledger_control *record)
{
	const struct generation *newest = clerk->worker->generations;

	wait->known = false;
	for (uint32_t i = 0; i < newest->config->n_routes; i++)
		for (uint32_t k = 0; k < newest->config->routes[i].n_targets; k++)
			if (clerk->worker->ledger->targets[newest->target_slots[i][k]].digest ==
			    record->target) {
				*wait = (struct wait){true, {i, k}};
				return;
			}
}

json_t *wait_answer(const struct wait *wait, struct thread *clerk,
		    const struct ledger_control *record)
{
	const struct ledger *ledger = clerk->worker->ledger;
	const struct config_route *route;
	const struct config_endpoint *target;
	char text[TARGET_TEXT_MAX];
	bool down;

	if (!wait->known)
		return refusal_say("a reload has removed the target");
	route = &clerk->worker->generations->config->routes[wait->place.route];
	target = &route->targets[wait->place.target];
	down = target_has_failed(ledger, target, slot_of(wait, clerk));
	if (down == (record->for_down != 0))
		return json_pack("{s:b, s:s}", "ok", 1, "state", down ? "down" : "up");
	if (clerk->loop.now < record->until)
		return NULL;
	if (!down)
		return refusal_say("%s/%.128s is still up", route->name, target->name);
	return refusal_say("%s/%.128s is still down (%s)", route->name, target->name,
			   target_tell_failure(&ledger->targets[slot_of(wait, clerk)], text));
}
