/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pools: which of a route's targets a session asks next. In a round it tries as many members as may
 * be chosen (pool_view.h), each once, in the order of the route's `balance`. Of the members that
 * are down and whose time is up, one session first tries one, and then continues like the others,
 * which skip it until it has answered. After the others the backups are tried. If all are down, a
 * round goes through all of them; one session tries each, and the others wait
 * (target_may_be_asked()).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct generation;
struct ledger_session;
struct session;
struct spliced_row;
struct thread;

/* The next member, which is then in the record. NOBODY: none is left in this round. FULL: none has
 * a place, or others come first: queue.h. */
enum pool_result { POOL_TAKEN, POOL_NOBODY, POOL_FULL };
enum pool_result pool_next(struct session *session);

/* Whether the round has members left. */
bool pool_goes_on(const struct session *session);

/* The round is over: the next starts from the beginning. */
void pool_end_round(struct session *session);

/* The session continues with another member: the present one is skipped in the next round, and
 * so are those that it has left since the first. */
void pool_leave_member(struct session *session, bool first);

/* A round begins, also that of a session that leaves a member. */
void pool_begin_anew(struct session *session);

/* ---- how many sessions a member has ---- */

/* Whether the session is one of its target's. */
bool pool_counts(const struct ledger_session *record);

/* One of the previous worker is counted already; one that has lost its target, or ends, is not
 * any more. */
void pool_adopt(struct session *session);
void pool_uncount(struct session *session);

/* ---- lanes ---- */

/* The sender of a message. */
struct pool_sender {
	struct thread *thread;
	const struct generation *generation;
	uint32_t route;
	uint64_t key; /* peer_key.h */
};

/* The member of the route's pool that it goes to; BALANCE_NOBODY: to none. */
uint32_t pool_choose(const struct pool_sender *sender);

/* Another than those that were tried, or BALANCE_NOBODY. */
uint32_t pool_choose_another(const struct pool_sender *sender, const uint16_t *tried,
			     unsigned n_tried);

/* Whether it may be chosen now. */
bool pool_may_choose(const struct pool_sender *sender, uint32_t member);

/* ---- what is known of the others ---- */

/* Whether no member may be chosen, but for those that are down. */
bool pool_is_down(const struct session *session);

/* Whether another than the session's may be chosen. */
bool pool_has_another(const struct session *session);

/* Whether the last attempt at another than the session's, of those, did not fail. */
bool pool_has_one_that_works(const struct session *session);

/* Whether connect(2) succeeds even if the target is absent: no connection is made, and the
 * remote kernel is not asked. */
bool pool_row_goes_unheard(const struct spliced_row *row);
