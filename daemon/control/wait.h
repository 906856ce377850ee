/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting until a target is up, or down. The condition is in the connection's record: an heir
 * continues to wait for it. */
#pragma once

#include "control/operate.h"

#include <jansson.h>
#include <stdbool.h>

struct ledger_control;
struct thread;

struct wait {
	bool known; /* the configuration has the target */
	struct operate_place place;
};

/* Reads the request into the connection's record. NULL, or a negative answer. */
json_t *wait_ask(struct wait *wait, struct thread *clerk, const json_t *request,
		 struct ledger_control *record);

/* An heir looks up what the record waits for. */
void wait_adopt(struct wait *wait, struct thread *clerk, const struct ledger_control *record);

/* NULL: not yet; else the answer: it is so, or the time is up. */
json_t *wait_answer(const struct wait *wait, struct thread *clerk,
		    const struct ledger_control *record);
