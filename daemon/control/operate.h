/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Operator commands for routes and targets: drain, disable, enable, hold, release, weight. They
 * are stored in their records in the ledger, and are valid for every worker until undone. */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct generation;
struct ledger;
struct thread;

/* A parsed name, "ROUTE" or "ROUTE/TARGET". */
struct operate_place {
	uint32_t route;
	uint32_t target; /* among the route's; OPERATE_WHOLE: the route itself */
};

#define OPERATE_WHOLE UINT32_MAX

/* Finds it in a configuration. NULL: *ret is filled in; else the answer that there is none. */
json_t *operate_find(const struct generation *generation, const char *name,
		     struct operate_place *ret);

/* The answer to a request, which has been done then; NULL: it is no verb of these. */
json_t *operate_answer(struct thread *clerk, const char *verb, const json_t *request);

/* "drained", "disabled", "held", "drained, held", or null. hand: enum ledger_hand_flag. */
json_t *operate_state(uint32_t hand);

/* All present settings: a list of objects; and as far as it fits as text, "web held, web/v1
 * drained", or "". */
enum { OPERATE_TEXT_MAX = 512 };
json_t *operate_list(const struct ledger *ledger, const struct generation *generation);
void operate_tell(const struct ledger *ledger, const struct generation *generation,
		  char text[OPERATE_TEXT_MAX]);

/* Writes them where they outlive the ledger (ledger/by_hand.h), if there is such a place. */
void operate_keep(const struct ledger *ledger, const struct generation *newest);
