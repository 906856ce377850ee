/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "control/sums.h"

#include "control/live.h"
#include "ledger/ledger.h"

#include <string.h>

static void add(struct sums *sums, const struct ledger_counter *counter)
{
	uint64_t *total = sums->counters;

	total[COUNTER_SESSIONS] += counter->sessions;
	total[COUNTER_EVICTED] += counter->evicted;
	total[COUNTER_TARGET_DOWN] += counter->target_down;
	total[COUNTER_BYTES_TO_TARGET] += counter->bytes[0];
	total[COUNTER_BYTES_FROM_TARGET] += counter->bytes[1];
	total[COUNTER_RECEIVED_CLIENT] += counter->received[0];
	total[COUNTER_RECEIVED_TARGET] += counter->received[1];
	total[COUNTER_MESSAGES_TO_TARGET] += counter->messages[0] - counter->returned[0];
	total[COUNTER_MESSAGES_FROM_TARGET] += counter->messages[1] - counter->returned[1];
	total[COUNTER_WAITING] += counter->waiting;
	total[COUNTER_KERNEL_DROPPED] += counter->kernel;
	total[COUNTER_LOST] += counter->lost;
	total[COUNTER_DESCRIPTORS] += counter->descriptors;
	total[COUNTER_UNKEPT] += counter->unkept;
	total[COUNTER_CONNECT_ERRORS] += counter->connect_errors;
	for (int i = 0; i < REFUSED_REASONS; i++)
		sums->refused[i] += counter->refused[i];
	for (int i = 0; i < DROPPED_REASONS; i++)
		sums->dropped[i] += counter->dropped[i];
}

void sums_of_route(struct sums *ret, const struct ledger *ledger, const struct live *live,
		   uint32_t slot)
{
	memset(ret, 0, sizeof *ret);
	for (uint32_t thread = 0; thread <= ledger->n_threads; thread++)
		add(ret, ledger_counter(ledger, thread, slot));
	for (int i = 0; i < REFUSED_REASONS; i++)
		ret->counters[COUNTER_REFUSED] += ret->refused[i];
	if (!live)
		return;
	ret->counters[COUNTER_BYTES_TO_TARGET] += live->bytes[slot][0];
	ret->counters[COUNTER_BYTES_FROM_TARGET] += live->bytes[slot][1];
	ret->counters[COUNTER_KERNEL_DROPPED] += live->kernel[slot];
}

/* The object that a path's last member belongs to, made where it is missing; *name: that
 * member's. */
static json_t *find_parent(json_t *object, const char *path, const char **name)
{
	const char *dot = strchr(path, '.');
	json_t *group;

	*name = path;
	if (!dot)
		return object;
	*name = dot + 1;
	group = json_object_getn(object, path, (size_t)(dot - path));
	if (!group) {
		group = json_object();
		json_object_setn_new(object, path, (size_t)(dot - path), group);
	}
	return group;
}

void sums_write(const struct sums *sums, json_t *route)
{
	json_t *dropped = json_object();

	for (int i = 0; i < COUNTERS_COUNT; i++) {
		const char *name;
		json_t *parent = find_parent(route, counters[i].path, &name);

		json_object_set_new(parent, name, json_integer((json_int_t)sums->counters[i]));
	}
	for (int i = 0; i < DROPPED_REASONS; i++)
		if (sums->dropped[i])
			json_object_set_new(dropped, counter_drops[i].name,
					    json_integer((json_int_t)sums->dropped[i]));
	json_object_set_new(route, "dropped", dropped);
}
