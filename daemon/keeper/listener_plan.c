/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/listener_plan.h"

#include "keeper/opening.h"
#include "ledger/ledger.h"

#include <string.h>

/* By record of the ledger. */
static struct listener_plan plan[LEDGER_LISTENERS_MAX];
static bool replaced[LEDGER_LISTENERS_MAX];

static uint32_t first_free; /* no record before it is free */

void listener_plan_clear(void)
{
	memset(plan, 0, sizeof plan);
}

void listener_plan_keep(uint32_t index, const struct wanted *wanted)
{
	plan[index].kept = true;
	plan[index].route = wanted->route_index;
	plan[index].endpoint = wanted->endpoint_index;
	plan[index].leg = wanted->leg_index;
}

bool listener_plan_is_for(uint32_t index, const struct wanted *wanted)
{
	return plan[index].kept && plan[index].route == wanted->route_index &&
	       plan[index].endpoint == wanted->endpoint_index &&
	       plan[index].leg == wanted->leg_index;
}

const struct listener_plan *listener_plan_of(uint32_t index)
{
	return plan[index].kept ? &plan[index] : NULL;
}

struct ledger_listener *listener_plan_free_record(struct ledger *ledger)
{
	for (uint32_t i = first_free; i < LEDGER_LISTENERS_MAX; i++) {
		if (i < ledger_listeners_high(ledger) &&
		    ledger->listeners[i].state != LISTENER_FREE)
			continue;
		first_free = i + 1;
		if (i >= ledger_listeners_high(ledger))
			ledger->keeper->listeners_high = i + 1;
		return &ledger->listeners[i];
	}
	return NULL;
}

void listener_plan_rewind(void)
{
	first_free = 0;
}

void listener_plan_replace(uint32_t index)
{
	replaced[index] = true;
}

bool listener_plan_take_replaced(uint32_t index)
{
	bool was = replaced[index];

	replaced[index] = false;
	return was;
}

void listener_plan_forget_replaced(void)
{
	memset(replaced, 0, sizeof replaced);
}
