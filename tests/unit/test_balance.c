/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arithmetic of pools: so many sessions, and how many each member gets. */
#include "dispatch/balance.h"

#include "dispatch/balance_ring.h"
#include "dispatch/target.h"
#include "ledger/ledger.h"

#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMBERS_MAX = 10000, SESSIONS = 6000 };

static uint32_t members[MEMBERS_MAX], sums[MEMBERS_MAX], slots[MEMBERS_MAX];
static struct ledger_target targets[MEMBERS_MAX];
static _Atomic uint32_t got[MEMBERS_MAX], turn, retry_turn;
static struct balance balance;

static void set_up(void)
{
	memset((void *)got, 0, sizeof got);
	turn = retry_turn = 0;
	memset((void *)targets, 0, sizeof targets);
	balance = (struct balance){
		.members = members, .sums = sums, .targets = targets, .slots = slots};
}

static void make(const uint32_t *weights, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		members[i] = slots[i] = i;
		sums[i] = weights[i];
	}
	balance_set(&balance, n);
}

/* As a session does it whose first members are dead. */
static uint32_t choose(enum config_balance how, const bool *dead)
{
	uint16_t tried[BALANCE_TRIED_MAX];
	struct balance_ask ask = {.turn = &turn, .retry_turn = &retry_turn, .tried = tried};
	uint32_t member = balance_choose(&balance, how, &ask);

	while (member != BALANCE_NOBODY && dead && dead[member]) {
		ck_assert_uint_lt(ask.n_tried, BALANCE_TRIED_MAX);
		tried[ask.n_tried++] = (uint16_t)member;
		member = balance_choose(&balance, how, &ask);
	}
	return member;
}

static void choose_many(enum config_balance how, const bool *dead, uint32_t count)
{
	while (count--)
		got[choose(how, dead)]++;
}

/* Sessions that stay. */
static void open_many(enum config_balance how, uint32_t count)
{
	while (count--) {
		uint32_t member = choose(how, NULL);

		got[member]++;
		targets[member].active++;
	}
}

/* Two in a hundred. */
static void assert_in_proportion(const uint32_t *weights, const bool *dead, uint32_t n,
				 uint32_t count)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += dead && dead[i] ? 0 : weights[i];
	for (uint32_t i = 0; i < n; i++) {
		double due = dead && dead[i] ? 0 : count * (weights[i] / sum);

		ck_assert_msg(got[i] >= due * 0.98 - 1 && got[i] <= due * 1.02 + 1,
			      "member %u has %u, not %.1f", i, got[i], due);
	}
}

static const struct {
	uint32_t n, weights[8];
} pools[] = {
	{1, {1}},
	{2, {1, 1}},
	{3, {1, 1, 1}},
	{3, {5, 1, 1}},
	{2, {3, 1}},
	{4, {256, 1, 1, 128}},
	{5, {7, 11, 13, 17, 19}},
	{3, {60000, 30000, 10000}},
	{8, {1, 2, 3, 4, 5, 6, 7, 8}},
};

START_TEST(weights_are_kept)
{
	make(pools[_i].weights, pools[_i].n);
	choose_many(BALANCE_ROUNDROBIN, NULL, SESSIONS);
	assert_in_proportion(pools[_i].weights, NULL, pools[_i].n, SESSIONS);
}
END_TEST

/* In each as many sessions as there are places; and a member's turns do not come in a row. */
START_TEST(each_place_comes_once)
{
	const uint32_t weights[] = {5, 1, 1};
	uint32_t before = BALANCE_NOBODY, row = 0;

	make(weights, 3);
	for (int round = 0; round < 100; round++) {
		set_up();
		turn = (uint32_t)round;
		make(weights, 3);
		choose_many(BALANCE_ROUNDROBIN, NULL, 7);
		for (int i = 0; i < 3; i++)
			ck_assert_uint_eq(got[i], weights[i]);
	}
	for (int i = 0; i < 70; i++) {
		uint32_t member = choose(BALANCE_ROUNDROBIN, NULL);

		row = member == before ? row + 1 : 1;
		before = member;
		ck_assert_uint_le(row, 4);
	}
}
END_TEST

START_TEST(equal_ones_come_in_order)
{
	const uint32_t weights[] = {4, 4, 4, 4};

	make(weights, 4);
	for (uint32_t i = 0; i < 12; i++)
		ck_assert_uint_eq(choose(BALANCE_ROUNDROBIN, NULL), i % 4);
}
END_TEST

static const struct {
	uint32_t n, weights[8];
	bool dead[8];
} broken[] = {
	{3, {1, 1, 1}, {true}},
	{4, {1, 1, 1, 1}, {true, true}},
	{4, {1, 1, 1, 1}, {true, false, true, false}},
	{4, {1, 1, 1, 1}, {false, true, true, false}},
	{6, {1, 1, 1, 1, 1, 1}, {true, true, true, true}},
	{4, {3, 3, 2, 1}, {true, true}},
	{3, {1, 2, 1}, {false, true}},
	{3, {1000, 10, 20}, {true}},
	{8, {1, 1, 1, 1, 1, 1, 1, 1}, {true, true, true, true, true, true}},
};

/* What a dead member leaves goes to all that live, as their weights say. */
START_TEST(what_the_dead_leave_is_shared)
{
	make(broken[_i].weights, broken[_i].n);
	choose_many(BALANCE_ROUNDROBIN, broken[_i].dead, SESSIONS);
	assert_in_proportion(broken[_i].weights, broken[_i].dead, broken[_i].n, SESSIONS);
}
END_TEST

START_TEST(nobody_is_left)
{
	const uint32_t weights[] = {1, 2};
	const uint16_t tried[] = {1, 0};
	struct balance_ask ask = {
		.turn = &turn, .retry_turn = &retry_turn, .tried = tried, .n_tried = 2};

	make(weights, 2);
	ck_assert_uint_eq(balance_choose(&balance, BALANCE_ROUNDROBIN, &ask), BALANCE_NOBODY);
	balance_set(&balance, 0);
	ask.n_tried = 0;
	ck_assert_uint_eq(balance_choose(&balance, BALANCE_ROUNDROBIN, &ask), BALANCE_NOBODY);
}
END_TEST

/* Where nobody has a session longer than the next one is opened, ... */
START_TEST(equal_loads_are_a_matter_of_turns)
{
	static const enum config_balance ways[] = {BALANCE_LEASTCONN, BALANCE_RANDOM};

	for (int way = 0; way < 2; way++) {
		set_up();
		make(pools[_i].weights, pools[_i].n);
		choose_many(ways[way], NULL, SESSIONS);
		assert_in_proportion(pools[_i].weights, NULL, pools[_i].n, SESSIONS);
	}
}
END_TEST

/* ... and where all stay. */
START_TEST(least_connections)
{
	make(pools[_i].weights, pools[_i].n);
	open_many(BALANCE_LEASTCONN, SESSIONS);
	assert_in_proportion(pools[_i].weights, NULL, pools[_i].n, SESSIONS);
}
END_TEST

/* A member that has many already gets none before the others have caught up. */
START_TEST(the_least_of_unequal_loads)
{
	const uint32_t weights[] = {1, 1, 2};

	make(weights, 3);
	targets[0].active = 100;
	open_many(BALANCE_LEASTCONN, 300);
	ck_assert_uint_eq(got[0], 0);
	open_many(BALANCE_LEASTCONN, 400);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(targets[i].active, 200 * weights[i]);
}
END_TEST

/* Too many to look at each: those with few sessions are preferred nevertheless. */
START_TEST(a_sample_of_many)
{
	static uint32_t weights[1000];
	uint32_t most = 0;

	for (uint32_t i = 0; i < 1000; i++) {
		weights[i] = 1;
		targets[i].active = i % 2 ? 50 : 0;
	}
	make(weights, 1000);
	open_many(BALANCE_LEASTCONN, 20000);
	for (uint32_t i = 0; i < 1000; i++) {
		ck_assert_uint_le(i % 2 ? got[i] : 0, 2);
		most = targets[i].active > most ? targets[i].active : most;
	}
	ck_assert_uint_lt(most, 53);
}
END_TEST

START_TEST(random_of_two)
{
	const uint32_t weights[] = {1, 1, 1, 1};

	make(weights, 4);
	targets[3].active = 1000;
	open_many(BALANCE_RANDOM, 400);
	/* Only where both are the same one. */
	ck_assert_uint_lt(got[3], 60);
}
END_TEST

START_TEST(the_first_that_lives)
{
	const uint32_t weights[] = {1, 9, 1};
	const bool dead[] = {true, false, false};

	make(weights, 3);
	choose_many(BALANCE_FIRST, NULL, 10);
	ck_assert_uint_eq(got[0], 10);
	choose_many(BALANCE_FIRST, dead, 10);
	ck_assert_uint_eq(got[1], 10);
}
END_TEST

/* ---- source ---- */

enum { RING_MEMBERS = 8 };

static struct config_endpoint endpoints[RING_MEMBERS];
static char names[RING_MEMBERS][16];

static struct balance_ring *make_ring(uint32_t n, uint32_t without)
{
	struct config_route route = {.targets = endpoints};

	for (uint32_t i = 0; i < n; i++) {
		if (i == without)
			continue;
		snprintf(names[i], sizeof names[i], "web%u", i);
		endpoints[route.n_targets].name = names[i];
		endpoints[route.n_targets++].member.weight = i == 1 ? 2 : 1;
	}
	return balance_ring_new(&route);
}

static uint32_t choose_for(uint64_t peer)
{
	struct balance_ask ask = {
		.turn = &turn, .retry_turn = &retry_turn, .key = balance_mix(peer) | 1};

	return balance_choose(&balance, BALANCE_SOURCE, &ask);
}

/* A member that is down is not in the pool, and in the ring still. */
static void take_away(uint32_t member)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < RING_MEMBERS; i++)
		if (i != member) {
			members[n] = i;
			sums[n++] = 1;
		}
	balance_set(&balance, n);
}

START_TEST(a_peer_stays)
{
	const uint32_t weights[RING_MEMBERS] = {1, 1, 1, 1, 1, 1, 1, 1};
	struct balance_ring *ring = make_ring(RING_MEMBERS, RING_MEMBERS);
	static uint32_t before[SESSIONS];

	balance.ring = ring;
	make(weights, RING_MEMBERS);
	for (uint32_t peer = 0; peer < SESSIONS; peer++) {
		before[peer] = choose_for(peer);
		got[before[peer]]++;
		ck_assert_uint_eq(choose_for(peer), before[peer]);
	}
	for (uint32_t i = 0; i < RING_MEMBERS; i++) {
		double due = SESSIONS * (i == 1 ? 2. : 1.) / (RING_MEMBERS + 1);

		ck_assert_msg(got[i] > due * 0.7 && got[i] < due * 1.3, "%u has %u", i, got[i]);
	}
	for (uint32_t gone = 0; gone < RING_MEMBERS; gone++) {
		memset((void *)got, 0, sizeof got);
		take_away(gone);
		for (uint32_t peer = 0; peer < SESSIONS; peer++) {
			uint32_t now = choose_for(peer);

			ck_assert_uint_ne(now, gone);
			if (before[peer] != gone)
				ck_assert_uint_eq(now, before[peer]);
			else
				got[now]++;
		}
		for (uint32_t i = 0; i < RING_MEMBERS; i++)
			ck_assert(i == gone || got[i]);
	}
	free(ring);
}
END_TEST

/* Out of the configuration, where those behind it have other numbers then. */
START_TEST(a_peer_stays_over_a_reload)
{
	const uint32_t weights[RING_MEMBERS] = {1, 1, 1, 1, 1, 1, 1, 1};
	struct balance_ring *ring = make_ring(RING_MEMBERS, RING_MEMBERS), *other;
	static uint32_t before[SESSIONS];

	balance.ring = ring;
	make(weights, RING_MEMBERS);
	for (uint32_t peer = 0; peer < SESSIONS; peer++)
		before[peer] = choose_for(peer);
	balance.ring = other = make_ring(RING_MEMBERS, 3);
	make(weights, RING_MEMBERS - 1);
	for (uint32_t peer = 0; peer < SESSIONS; peer++)
		if (before[peer] != 3)
			ck_assert_uint_eq(choose_for(peer), before[peer] - (before[peer] > 3));
	free(ring);
	free(other);
}
END_TEST

/* What an heir finds in the ledger is all that it takes. */
START_TEST(a_slow_start)
{
	const struct config_member member = {.weight = 3, .slow_start = 1000};
	const struct config_member drained = {.weight = 0, .slow_start = 1000};
	struct ledger_target *target = &targets[0];

	ck_assert_uint_eq(target_share(target, &member, 5000), 3 * TARGET_UNITS);
	target->up_since = 5000;
	ck_assert_uint_eq(target_share(target, &member, 5000), 1);
	ck_assert_uint_eq(target_share(target, &member, 5500), 3 * TARGET_UNITS / 2);
	ck_assert_uint_eq(target_share(target, &member, 5999), 3 * TARGET_UNITS - 1);
	ck_assert(target_rises(target, &member, 5999));
	ck_assert_uint_eq(target_share(target, &member, 6000), 3 * TARGET_UNITS);
	ck_assert(!target_rises(target, &member, 6000));
	ck_assert_uint_eq(target_share(target, &drained, 5500), 0);
	target->weight_set = 1;
	ck_assert_uint_eq(target_share(target, &member, 5500), 0);
}
END_TEST

enum { LIMITED_MAX = 200 };

/* Whatever the order, each has as many sessions in the end as it takes; of a large pool, too. */
START_TEST(the_full_are_skipped)
{
	enum config_balance how = (enum config_balance)(_i / 2);
	uint32_t weights[LIMITED_MAX], limits[LIMITED_MAX], n = _i % 2 ? LIMITED_MAX : 3, sum = 0;
	bool dead[LIMITED_MAX] = {[1] = true};

	for (uint32_t i = 0; i < n; i++) {
		weights[i] = 1 + i % 3;
		sum += limits[i] = 1 + i % 5;
	}
	make(weights, n);
	balance.limits = limits;
	open_many(how, sum);
	for (uint32_t i = 0; i < n; i++)
		ck_assert_uint_eq(got[i], limits[i]);
	ck_assert_uint_eq(choose(how, NULL), BALANCE_NOBODY);
	targets[1].active--;
	ck_assert_uint_eq(choose(how, NULL), 1);
	ck_assert_uint_eq(choose(how, dead), BALANCE_NOBODY);
	limits[0] = 0;
	ck_assert_uint_eq(choose(how, dead), 0);
}
END_TEST

static void *choose_a_share(void *context)
{
	(void)context;
	choose_many(BALANCE_ROUNDROBIN, NULL, SESSIONS / 4);
	return NULL;
}

START_TEST(threads_share_the_tickets)
{
	const uint32_t weights[] = {3, 2, 1};
	pthread_t threads[4];

	make(weights, 3);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, choose_a_share, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(got[i], SESSIONS * weights[i] / 6);
}
END_TEST

/* The largest weights there are, in the largest pool. */
START_TEST(ten_thousand)
{
	static uint32_t weights[MEMBERS_MAX];
	uint64_t due = 0;

	for (uint32_t i = 0; i < MEMBERS_MAX; i++)
		due += weights[i] = i % 2 ? 4194240 : 1000;
	make(weights, MEMBERS_MAX);
	ck_assert_uint_lt(balance.total, INT32_MAX);
	choose_many(BALANCE_ROUNDROBIN, NULL, 100 * MEMBERS_MAX);
	for (uint32_t i = 1; i < MEMBERS_MAX; i += 2)
		ck_assert_msg(got[i] > 190 && got[i] < 210, "%u has %u", i, got[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("balance");
	TCase *cases = tcase_create("balance");

	tcase_add_checked_fixture(cases, set_up, NULL);
	tcase_add_loop_test(cases, weights_are_kept, 0, sizeof pools / sizeof *pools);
	tcase_add_test(cases, each_place_comes_once);
	tcase_add_test(cases, equal_ones_come_in_order);
	tcase_add_loop_test(cases, what_the_dead_leave_is_shared, 0,
			    sizeof broken / sizeof *broken);
	tcase_add_test(cases, nobody_is_left);
	tcase_add_loop_test(cases, equal_loads_are_a_matter_of_turns, 0,
			    sizeof pools / sizeof *pools);
	tcase_add_loop_test(cases, least_connections, 0, sizeof pools / sizeof *pools);
	tcase_add_test(cases, the_least_of_unequal_loads);
	tcase_add_test(cases, a_sample_of_many);
	tcase_add_test(cases, random_of_two);
	tcase_add_test(cases, the_first_that_lives);
	tcase_add_test(cases, a_peer_stays);
	tcase_add_test(cases, a_peer_stays_over_a_reload);
	tcase_add_test(cases, a_slow_start);
	tcase_add_loop_test(cases, the_full_are_skipped, 0, 2 * (BALANCE_FIRST + 1));
	tcase_add_test(cases, threads_share_the_tickets);
	tcase_add_test(cases, ten_thousand);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
