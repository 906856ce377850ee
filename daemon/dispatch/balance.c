/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/balance.h"

#include "dispatch/balance_ring.h"
#include "ledger/ledger.h"

/* The golden ratio less one, in units of 2^-32: no fraction is further from all that are simple, by
 * which the places would repeat themselves too soon. */
#define GOLDEN UINT64_C(2654435769)

static uint32_t greatest_divisor(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Divides weights by their common divisor, to need fewer places. */
static void make_small(struct balance *balance)
{
	uint64_t total = 0;
	uint32_t divisor = 0;
	unsigned shift = 0;

	for (uint32_t i = 0; i < balance->n; i++)
		total += balance->sums[i];
	while (total >> shift > INT32_MAX - balance->n)
		shift++;
	for (uint32_t i = 0; i < balance->n; i++) {
		uint32_t weight = balance->sums[i] >> shift;

		balance->sums[i] = weight ? weight : 1;
		divisor = greatest_divisor(balance->sums[i], divisor);
	}
	for (uint32_t i = 0; i < balance->n; i++)
		balance->sums[i] /= divisor;
}

static uint32_t choose_stride(uint32_t places, bool alike)
{
	uint32_t stride = (uint32_t)((uint64_t)places * GOLDEN >> 32);

	if (alike || !stride)
		return 1;
	while (greatest_divisor(places, stride) != 1)
		stride++;
	return stride;
}

void balance_set(struct balance *balance, uint32_t n)
{
	bool alike = true;

	balance->n = n;
	balance->total = 0;
	make_small(balance);
	for (uint32_t i = 0; i < n; i++) {
		alike &= balance->sums[i] == 1;
		balance->total += balance->sums[i];
		balance->sums[i] = balance->total;
	}
	balance->stride = choose_stride(balance->total, alike);
}

uint64_t balance_mix(uint64_t from)
{
	from += UINT64_C(0x9e3779b97f4a7c15);
	from = (from ^ from >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	from = (from ^ from >> 27) * UINT64_C(0x94d049bb133111eb);
	return from ^ from >> 31;
}

/* The member that a place belongs to. */
static uint32_t member_at(const struct balance *balance, uint32_t place)
{
	uint32_t low = 0, high = balance->n - 1;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (place < balance->sums[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

bool balance_has_place(const struct balance *balance, uint32_t i)
{
	uint32_t slot = balance->slots[balance->members[i]];

	return !balance->limits || !balance->limits[slot] ||
	       atomic_load(&balance->targets[slot].active) < balance->limits[slot];
}

/* It was tried, or has no place. */
static bool is_skipped(const struct balance *balance, const struct balance_ask *ask, uint32_t i)
{
	for (unsigned k = 0; k < ask->n_tried; k++)
		if (ask->tried[k] == balance->members[i])
			return true;
	return !balance_has_place(balance, i);
}

static uint32_t first_place(const struct balance *balance, uint32_t i)
{
	return i ? balance->sums[i - 1] : 0;
}

static uint32_t weight_of(const struct balance *balance, uint32_t i)
{
	return balance->sums[i] - first_place(balance, i);
}

uint32_t balance_find(const struct balance *balance, uint32_t member)
{
	uint32_t low = 0, high = balance->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (balance->members[middle] < member)
			low = middle + 1;
		else
			high = middle;
	}
	return low < balance->n && balance->members[low] == member ? low : BALANCE_NOBODY;
}

/* Those of the tried that are in the pool now, in its order. */
static unsigned sort_tried(const struct balance *balance, const struct balance_ask *ask,
			   uint32_t *sorted)
{
	unsigned n = 0;

	for (unsigned k = 0; k < ask->n_tried && k < BALANCE_TRIED_MAX; k++) {
		uint32_t found = balance_find(balance, ask->tried[k]);
		unsigned at = n;

		if (found == BALANCE_NOBODY)
			continue;
		for (; at && sorted[at - 1] > found; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = found;
		n++;
	}
	return n;
}

/* One of the others, chosen by a random number and their weights. */
static uint32_t draw(const struct balance *balance, const struct balance_ask *ask, uint64_t random)
{
	uint32_t sorted[BALANCE_TRIED_MAX], place, left = balance->total;
	unsigned n = sort_tried(balance, ask, sorted);

	for (unsigned k = 0; k < n; k++)
		left -= weight_of(balance, sorted[k]);
	if (!left)
		return BALANCE_NOBODY;
	place = (uint32_t)(random % left);
	for (unsigned k = 0; k < n; k++)
		if (place >= first_place(balance, sorted[k]))
			place += weight_of(balance, sorted[k]);
	return member_at(balance, place);
}

static uint32_t take_ticket(const struct balance_ask *ask)
{
	return atomic_fetch_add_explicit(ask->n_tried ? ask->retry_turn : ask->turn, 1,
					 memory_order_relaxed);
}

static uint32_t choose_by_turn(const struct balance *balance, const struct balance_ask *ask)
{
	uint32_t ticket = 0;

	for (int i = 0; i < BALANCE_TICKETS_MAX; i++) {
		uint32_t found;

		ticket = take_ticket(ask);
		found = member_at(balance,
				  (uint32_t)((uint64_t)ticket * balance->stride % balance->total));
		if (!is_skipped(balance, ask, found))
			return found;
	}
	return draw(balance, ask, balance_mix(ticket));
}

static uint64_t sessions_of(const struct balance *balance, uint32_t i)
{
	const struct ledger_target *target = &balance->targets[balance->slots[balance->members[i]]];

	return atomic_load_explicit(&target->active, memory_order_relaxed);
}

/* Whether it has fewer sessions than another, by its weight. */
static bool has_fewer(const struct balance *balance, uint32_t i, uint32_t other)
{
	return sessions_of(balance, i) * weight_of(balance, other) <
	       sessions_of(balance, other) * weight_of(balance, i);
}

/* The least loaded of the first one and of this many that are drawn. */
static uint32_t choose_of_sample(const struct balance *balance, const struct balance_ask *ask,
				 uint32_t first, int count)
{
	uint64_t random = (uint64_t)*ask->turn << 32 | *ask->retry_turn;

	for (int k = 1; k < count && first != BALANCE_NOBODY; k++) {
		uint32_t other = draw(balance, ask, balance_mix(random + (uint64_t)k * GOLDEN));

		if (balance_has_place(balance, other) &&
		    (!balance_has_place(balance, first) || has_fewer(balance, other, first)))
			first = other;
	}
	return first;
}

static uint32_t choose_least(const struct balance *balance, const struct balance_ask *ask)
{
	uint32_t best = choose_by_turn(balance, ask), begin = best;

	if (balance->n > BALANCE_COMPARED_MAX)
		return choose_of_sample(balance, ask, best, BALANCE_SAMPLE);
	for (uint32_t k = 1; k < balance->n && best != BALANCE_NOBODY; k++) {
		uint32_t other = (begin + k) % balance->n;

		if (!is_skipped(balance, ask, other) &&
		    (!balance_has_place(balance, best) || has_fewer(balance, other, best)))
			best = other;
	}
	return best;
}

static uint32_t choose_at_random(const struct balance *balance, const struct balance_ask *ask)
{
	return choose_of_sample(balance, ask, choose_by_turn(balance, ask), 2);
}

static uint32_t choose_first(const struct balance *balance, const struct balance_ask *ask)
{
	for (uint32_t i = 0; i < balance->n; i++)
		if (!is_skipped(balance, ask, i))
			return i;
	return BALANCE_NOBODY;
}

static uint32_t choose_by_source(const struct balance *balance, const struct balance_ask *ask)
{
	const struct balance_ring *ring = balance->ring;
	uint32_t at;

	if (!ask->key || !ring || !ring->n)
		return choose_by_turn(balance, ask);
	at = balance_ring_find(ring, ask->key);
	for (int k = 0; k < BALANCE_STEPS_MAX; k++) {
		uint32_t found = balance_find(balance, ring->points[at].member);

		if (found != BALANCE_NOBODY && !is_skipped(balance, ask, found))
			return found;
		at = (at + 1) % ring->n;
	}
	return draw(balance, ask, balance_mix(ask->key));
}

static uint32_t (*const ways[])(const struct balance *balance, const struct balance_ask *ask) = {
	[BALANCE_ROUNDROBIN] = choose_by_turn, [BALANCE_LEASTCONN] = choose_least,
	[BALANCE_SOURCE] = choose_by_source,   [BALANCE_RANDOM] = choose_at_random,
	[BALANCE_FIRST] = choose_first,
};

static uint32_t search(const struct balance *balance, const struct balance_ask *ask)
{
	uint32_t from = (uint32_t)(balance_mix(*ask->turn) % balance->n);

	for (uint32_t k = 0; k < balance->n; k++)
		if (!is_skipped(balance, ask, (from + k) % balance->n))
			return (from + k) % balance->n;
	return BALANCE_NOBODY;
}

uint32_t balance_choose(const struct balance *balance, enum config_balance how,
			const struct balance_ask *ask)
{
	uint32_t found = balance->n ? ways[how](balance, ask) : BALANCE_NOBODY;

	if (found != BALANCE_NOBODY && !balance_has_place(balance, found))
		found = search(balance, ask);
	return found == BALANCE_NOBODY ? found : balance->members[found];
}
