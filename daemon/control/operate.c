/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operator commands. The word in the record is written first; then the threads that would not read
 * it soon are notified: they read a route's at each accept(2), its pool by its epoch, and find the
 * sessions of a disabled target by a walk of their own (dispatch/clear.h). If the clerk dies in
 * between, the word is there, and an heir reads all of them.
 */
#include "control/operate.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config.h"
#include "control/refusal.h"
#include "control/words.h"
#include "dispatch/clear.h"
#include "dispatch/target.h"
#include "ledger/by_hand.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "session/thread.h"

#include <stdio.h>
#include <string.h>

enum { STATE_MAX = 48, NAME_MAX_TOLD = 320 };

/* ---- names ---- */

static json_t *find_target(const struct config_route *route, const char *name, uint32_t *ret)
{
	for (uint32_t i = 0; i < route->n_targets; i++)
		if (!strcmp(route->targets[i].name, name)) {
			*ret = i;
			return NULL;
		}
	return refusal_target(route, name);
}

json_t *operate_find(const struct generation *generation, const char *name,
		     struct operate_place *ret)
{
	const struct config *config = generation->config;
	const char *slash = strchr(name, '/');
	char route[NAME_MAX_TOLD];

	snprintf(route, sizeof route, "%.*s", slash ? (int)(slash - name) : (int)strlen(name),
		 name);
	*ret = (struct operate_place){.target = OPERATE_WHOLE};
	for (uint32_t i = 0; i < config->n_routes; i++)
		if (!strcmp(config->routes[i].name, route)) {
			ret->route = i;
			return slash ? find_target(&config->routes[i], slash + 1, &ret->target)
				     : NULL;
		}
	return refusal_route(config, route);
}

/* ---- the answers ---- */

static const char *state_text(uint32_t hand, char text[STATE_MAX])
{
	snprintf(text, STATE_MAX, "%s%s%s",
		 hand & LEDGER_HAND_DISABLE ? "disabled"
		 : hand & LEDGER_HAND_DRAIN ? "drained"
					    : "",
		 hand & LEDGER_HAND_DRAIN && hand & LEDGER_HAND_HOLD ? ", " : "",
		 hand & LEDGER_HAND_HOLD ? "held" : "");
	return text;
}

json_t *operate_state(uint32_t hand)
{
	char text[STATE_MAX];

	return hand ? json_string(state_text(hand, text)) : json_null();
}

/* A route or target with a setting. target: NULL, the route itself. */
typedef void operated(void *context, const struct config_route *route,
		      const struct config_endpoint *target, uint32_t hand, uint32_t weight_set);

static void visit(const struct ledger *ledger, const struct generation *generation, operated *each,
		  void *context)
{
	for (unsigned i = 0; i < generation->config->n_routes; i++) {
		const struct config_route *route = &generation->config->routes[i];
		uint32_t hand = ledger->routes[generation->route_slots[i]].hand;

		if (hand)
			each(context, route, NULL, hand, 0);
		for (unsigned k = 0; k < route->n_targets; k++) {
			const struct ledger_target *target =
				&ledger->targets[generation->target_slots[i][k]];
			uint32_t own = target->hand, weight_set = target->weight_set;

			if (own || weight_set)
				each(context, route, &route->targets[k], own, weight_set);
		}
	}
}

static const char *name_of(const struct config_route *route, const struct config_endpoint *target,
			   char text[NAME_MAX_TOLD])
{
	snprintf(text, NAME_MAX_TOLD, "%s%s%s", route->name, target ? "/" : "",
		 target ? target->name : "");
	return text;
}

static void append(void *context, const struct config_route *route,
		   const struct config_endpoint *target, uint32_t hand, uint32_t weight_set)
{
	char name[NAME_MAX_TOLD];

	json_array_append_new(context,
			      json_pack("{s:o, s:o, s:o}", "name",
					words_json(name_of(route, target, name)), "state",
					operate_state(hand), "weight",
					weight_set ? json_integer(weight_set - 1) : json_null()));
}

json_t *operate_list(const struct ledger *ledger, const struct generation *generation)
{
	json_t *list = json_array();

	visit(ledger, generation, append, list);
	return list;
}

struct told {
	char *text;
	size_t len;
	bool full;
};

static void add_text(void *context, const struct config_route *route,
		     const struct config_endpoint *target, uint32_t hand, uint32_t weight_set)
{
	struct told *told = context;
	char name[NAME_MAX_TOLD], state[STATE_MAX], weight[32] = "", one[512];

	if (weight_set)
		snprintf(weight, sizeof weight, "%sweight %u", hand ? ", " : "", weight_set - 1);
	snprintf(one, sizeof one, "%s%s %s%s", told->len ? ", " : "", name_of(route, target, name),
		 state_text(hand, state), weight);
	if (told->full)
		return;
	told->full = told->len + strlen(one) + sizeof ", ..." > OPERATE_TEXT_MAX;
	told->len += (size_t)snprintf(told->text + told->len, OPERATE_TEXT_MAX - told->len, "%s",
				      told->full ? ", ..." : one);
}

void operate_tell(const struct ledger *ledger, const struct generation *generation,
		  char text[OPERATE_TEXT_MAX])
{
	struct told told = {.text = text};

	*text = '\0';
	visit(ledger, generation, add_text, &told);
}

/* But of the places of a name (config/expand.h): without a ledger their addresses are chosen again,
 * and the setting would be that of another. */
static void keep(void *context, const struct config_route *route,
		 const struct config_endpoint *target, uint32_t hand, uint32_t weight_set)
{
	char name[NAME_MAX_TOLD];

	if (target && target->place)
		return;
	by_hand_add(context, name_of(route, target, name), hand, weight_set);
}

void operate_keep(const struct ledger *ledger, const struct generation *newest)
{
	struct by_hand_writer writer;

	by_hand_begin(&writer, ledger->by_hand);
	visit(ledger, newest, keep, &writer);
	by_hand_end(&writer);
	if (writer.left_out)
		log_warning(
			"%u settings by hand would be forgotten if the keeper died: there is no room for so many",
			writer.left_out);
}

static void log_done(const struct config_route *route, const struct config_endpoint *target,
		     const char *what)
{
	struct log_entry entry = {.event = EVENT_BY_HAND};
	char name[NAME_MAX_TOLD];

	name_of(route, target, name);
	log_add_field(&entry, "ROUTE", route->name);
	if (target)
		log_add_field(&entry, "TARGET", name);
	log_event(LOG_NOTICE, &entry, "%s %s: %s by hand", target ? "target" : "route", name, what);
}

/* ---- what is done ---- */

/* A place in the newest configuration, and what of it is changed. */
struct operation {
	struct thread *clerk;
	const struct config_route *route;
	const struct config_endpoint *target; /* NULL: the route itself */
	struct ledger_route *route_record;
	struct ledger_target *target_record;
};

static json_t *begin(struct operation *operation, struct thread *clerk, const char *verb,
		     const json_t *request)
{
	const struct generation *newest = clerk->worker->generations;
	const char *name = json_string_value(json_object_get(request, "name"));
	struct ledger *ledger = clerk->worker->ledger;
	struct operate_place place;
	json_t *refusal;

	*operation = (struct operation){.clerk = clerk};
	if (!name)
		return refusal_say("%s requires the name of a route, or ROUTE/TARGET", verb);
	refusal = operate_find(newest, name, &place);
	if (refusal)
		return refusal;
	operation->route = &newest->config->routes[place.route];
	operation->route_record = &ledger->routes[newest->route_slots[place.route]];
	if (place.target == OPERATE_WHOLE)
		return NULL;
	operation->target = &operation->route->targets[place.target];
	operation->target_record =
		&ledger->targets[newest->target_slots[place.route][place.target]];
	return NULL;
}

/* It is kept, its pool is evaluated again, and sessions to be ended are searched for. */
static void take_effect(const struct operation *operation)
{
	struct worker *worker = operation->clerk->worker;

	operate_keep(worker->ledger, worker->generations);
	target_route_changed(worker->ledger,
			     (uint32_t)(operation->route_record - worker->ledger->routes));
	if (operation->target && target_is_disabled(operation->target_record))
		for (uint32_t i = 0; i < worker->n_threads; i++)
			clear_ask(&worker->threads[i]);
}

static json_t *answer(const struct operation *operation, bool changed)
{
	const struct ledger_target *target = operation->target_record;
	uint32_t hand = target ? target->hand : operation->route_record->hand;
	char name[NAME_MAX_TOLD];

	return json_pack("{s:b, s:b, s:o, s:o, s:i, s:o}", "ok", 1, "changed", changed, "name",
			 words_json(name_of(operation->route, operation->target, name)), "hand",
			 operate_state(hand), "active",
			 (int)(target ? target->active : operation->route_record->active), "weight",
			 target ? json_integer(target_weight(target, &operation->target->member))
				: json_null());
}

/* What a verb sets and takes back. */
struct change {
	const char *verb, *done;
	bool routes, targets; /* that it takes */
	uint32_t set, clear;
};

static const struct change changes[] = {
	{"drain", "drained", true, true, LEDGER_HAND_DRAIN, LEDGER_HAND_DISABLE},
	{"disable", "disabled", false, true, LEDGER_HAND_DRAIN | LEDGER_HAND_DISABLE, 0},
	{"enable", "enabled", true, true, 0, LEDGER_HAND_DRAIN | LEDGER_HAND_DISABLE},
	{"hold", "held", true, false, LEDGER_HAND_HOLD, 0},
	{"release", "released", true, false, 0, LEDGER_HAND_HOLD},
};

static json_t *change_hand(const struct change *change, struct thread *clerk, const json_t *request)
{
	struct operation operation;
	json_t *refusal = begin(&operation, clerk, change->verb, request);
	_Atomic uint32_t *word;
	uint32_t before, after;

	if (refusal)
		return refusal;
	assert(operation.route && operation.route_record);
	if (operation.target ? !change->targets : !change->routes)
		return refusal_say(operation.target ? "%s takes a route, not one of its targets: %s"
						    : "%s takes a target, as ROUTE/TARGET: %s/NAME",
				   change->verb, operation.route->name);
	word = operation.target ? &operation.target_record->hand : &operation.route_record->hand;
	before = atomic_load(word);
	after = (before & ~change->clear) | change->set;
	atomic_store(word, after);
	take_effect(&operation);
	if (after != before)
		log_done(operation.route, operation.target, change->done);
	return answer(&operation, after != before);
}

/* Plus one; 0: as configured. */
static bool parse_weight(const char *text, uint32_t *ret)
{
	int64_t number;

	if (!text)
		return false;
	*ret = 0;
	if (!strcmp(text, "configured"))
		return true;
	if (text_parse_number(text, &number) || number < 0 || number > LEDGER_WEIGHT_MAX)
		return false;
	*ret = (uint32_t)number + 1;
	return true;
}

static json_t *set_weight(struct thread *clerk, const json_t *request)
{
	struct operation operation;
	json_t *refusal = begin(&operation, clerk, "weight", request);
	uint32_t before, after;
	char text[64];

	if (refusal)
		return refusal;
	assert(operation.route && operation.route_record);
	if (!operation.target)
		return refusal_say("weight takes a target, as ROUTE/TARGET: %s/NAME",
				   operation.route->name);
	if (!parse_weight(json_string_value(json_object_get(request, "weight")), &after))
		return refusal_say("weight must be a number from 0 to %d, or \"configured\"",
				   LEDGER_WEIGHT_MAX);
	before = atomic_exchange(&operation.target_record->weight_set, after);
	take_effect(&operation);
	if (after)
		snprintf(text, sizeof text, "weight %u", after - 1);
	else
		snprintf(text, sizeof text, "weight as configured");
	if (after != before)
		log_done(operation.route, operation.target, text);
	return answer(&operation, after != before);
}

json_t *operate_answer(struct thread *clerk, const char *verb, const json_t *request)
{
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
		if (!strcmp(changes[i].verb, verb))
			return change_hand(&changes[i], clerk, request);
	return strcmp(verb, "weight") ? NULL : set_weight(clerk, request);
}
