/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What splicectl may ask: one function a verb, from request to answer. The answers' shapes are in
 * splicectl(1). */
#pragma once

#include <jansson.h>

struct ledger;
struct thread;

/* The answer to a request; the caller owns it. NULL without memory. */
json_t *verb_answer(struct thread *clerk, const char *verb, const json_t *request);

/* The answer to a reload that the keeper has dealt with. */
json_t *verb_reload_result(const struct ledger *ledger);
