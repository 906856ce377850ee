/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pools: which of a route's targets a session asks next. A round goes through all of them, from the
 * record's cursor on. Those that are known to be down are passed over; where all are, one session
 * asks each, and the others wait (target_may_be_asked()).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct generation;
struct session;
struct spliced_row;
struct thread;

/* The next member, which the record names then. False: none is left in this round. */
bool pool_next(struct session *session);

/* The members of a route's pool that the next so many messages go to, by lanes. */
void pool_choose(struct thread *thread, const struct generation *generation, uint32_t route,
		 uint32_t *members, unsigned count);

/* Whether another than the session's is not known to be down. */
bool pool_has_another(const struct session *session);

/* Whether the last attempt at another than the session's did not fail. */
bool pool_has_one_that_works(const struct session *session);

/* Whether connect(2) succeeds even if nobody is there: no connection is made, and the remote kernel
 * is not asked. */
bool pool_row_goes_unheard(const struct spliced_row *row);
