/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arithmetic of pools: so many sessions, and how many each member gets. */
#include "dispatch/balance.h"

#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <string.h>

enum { MEMBERS_MAX = 10000, SESSIONS = 6000 };

static uint32_t members[MEMBERS_MAX], sums[MEMBERS_MAX];
static _Atomic uint32_t got[MEMBERS_MAX], turn, retry_turn;
static struct balance balance;

static void set_up(void)
{
	memset((void *)got, 0, sizeof got);
	turn = retry_turn = 0;
	balance = (struct balance){.members = members, .sums = sums};
}

static void make(const uint32_t *weights, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		members[i] = i;
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
	tcase_add_test(cases, threads_share_the_tickets);
	tcase_add_test(cases, ten_thousand);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
