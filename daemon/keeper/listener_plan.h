/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The plan of a change of listeners: which records of the ledger are kept, and for which place in
 * the generation that is prepared; which were replaced; which are free.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct ledger;
struct ledger_listener;
struct wanted;

struct listener_plan {
	uint32_t route, endpoint;
	uint16_t leg;
	bool kept;
};

/* Nothing is kept. */
void listener_plan_clear(void);

/* The record is kept for this place; whether it is. */
void listener_plan_keep(uint32_t index, const struct wanted *wanted);
bool listener_plan_is_for(uint32_t index, const struct wanted *wanted);

/* The place that the record is kept for; NULL: it is not kept. */
const struct listener_plan *listener_plan_of(uint32_t index);

/* A free record, each once until the plan is rewound; NULL: there is none. */
struct ledger_listener *listener_plan_free_record(struct ledger *ledger);
void listener_plan_rewind(void);

/* Another was opened to replace this record, because its socket's file or interface is lost.
 * take: whether it was; the mark is removed. */
void listener_plan_replace(uint32_t index);
bool listener_plan_take_replaced(uint32_t index);
void listener_plan_forget_replaced(void);
