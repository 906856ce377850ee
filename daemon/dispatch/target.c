/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Targets. Every thread reads and writes their records by atomics; the addresses of a name are
 * written by the clerk alone, under a sequence number that readers check (a writer that was killed
 * in between leaves it odd, and its heir writes again).
 */
#include "dispatch/target.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "dispatch/service.h"
#include "dispatch/target_check.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "session/thread.h"

#include <stdio.h>
#include <string.h>

enum {
	ASKED_SECONDS_MAX = 10,	   /* one attempt keeps the others away for this time */
	ASKED_PAUSE_MAX_MS = 1000, /* before another asks, whatever retry.max_backoff is: no
				    * session waits long for a target that is back */
	ASKED_DOUBLINGS_MAX = 20,
};

void target_route_changed(struct ledger *ledger, uint32_t route)
{
	atomic_fetch_add(&ledger->routes[route].pool_epoch, 1);
	if (thread_self && thread_self->worker->pool_changed)
		thread_self->worker->pool_changed(thread_self, route);
}

void target_changed(struct ledger *ledger, const struct ledger_target *target)
{
	uint32_t route = atomic_load_explicit(&target->route, memory_order_relaxed) - 1;

	if (route < LEDGER_ROUTES_MAX)
		target_route_changed(ledger, route);
}

struct ledger_target *target_record(const struct thread *thread,
				    const struct generation *generation, unsigned route,
				    unsigned target)
{
	return &thread->worker->ledger->targets[generation->target_slots[route][target]];
}

static const struct config_member *member_of(const struct generation *generation, unsigned route,
					     unsigned target)
{
	return &generation->config->routes[route].targets[target].member;
}

bool target_is_listed(const struct ledger_target *target, const struct config_member *member)
{
	return !member->expanded || atomic_load_explicit(&target->listed, memory_order_relaxed);
}

bool target_lives(const struct ledger_target *target, const struct config_member *member)
{
	return !target_is_left_to_checks(target, member) && target_is_listed(target, member) &&
	       (!member->failures ||
		!atomic_load_explicit(&target->down_since, memory_order_relaxed));
}

uint32_t target_weight(const struct ledger_target *target, const struct config_member *member)
{
	uint32_t set = atomic_load_explicit(&target->weight_set, memory_order_relaxed);

	if (atomic_load_explicit(&target->hand, memory_order_relaxed) & LEDGER_HAND_DRAIN ||
	    !target_is_listed(target, member))
		return 0;
	if (set || !member->service)
		return set ? set - 1 : member->weight;
	return member->weight *
	       service_weight(atomic_load_explicit(&target->service, memory_order_relaxed));
}

uint32_t target_priority(const struct ledger_target *target, const struct config_member *member)
{
	return member->service ? service_priority(atomic_load_explicit(&target->service,
								       memory_order_relaxed))
			       : 0;
}

bool target_rises(const struct ledger_target *target, const struct config_member *member,
		  uint64_t now)
{
	uint64_t since = atomic_load_explicit(&target->up_since, memory_order_relaxed);

	return member->slow_start && since && now - since < member->slow_start;
}

uint32_t target_share(const struct ledger_target *target, const struct config_member *member,
		      uint64_t now)
{
	uint64_t share = (uint64_t)target_weight(target, member) * TARGET_UNITS;
	uint64_t since = atomic_load_explicit(&target->up_since, memory_order_relaxed);

	if (!share || !target_rises(target, member, now))
		return (uint32_t)share;
	share = (uint64_t)((double)share * (double)(now - since) / (double)member->slow_start);
	return share ? (uint32_t)share : 1;
}

bool target_is_disabled(const struct ledger_target *target)
{
	return atomic_load_explicit(&target->hand, memory_order_relaxed) & LEDGER_HAND_DISABLE;
}

bool target_is_down(const struct thread *thread, const struct generation *generation,
		    unsigned route, unsigned target)
{
	const struct ledger_target *record = target_record(thread, generation, route, target);

	if (target_is_left_to_checks(record, member_of(generation, route, target)) ||
	    !target_is_listed(record, member_of(generation, route, target)))
		return true;
	return !target_lives(record, member_of(generation, route, target)) &&
	       atomic_load_explicit(&record->down_until, memory_order_relaxed) > thread->loop.now;
}

bool target_all_down(const struct thread *thread, const struct generation *generation,
		     unsigned route)
{
	for (unsigned i = 0; i < generation->config->routes[route].n_targets; i++)
		if (!target_is_down(thread, generation, route, i))
			return false;
	return true;
}

bool target_claim(struct ledger_target *target, uint64_t now, uint64_t until)
{
	uint64_t held = atomic_load_explicit(&target->asked_until, memory_order_relaxed);

	return held <= now && atomic_compare_exchange_strong(&target->asked_until, &held, until);
}

bool target_may_be_asked(const struct thread *thread, const struct generation *generation,
			 unsigned route, unsigned target, uint64_t until)
{
	struct ledger_target *record = target_record(thread, generation, route, target);
	uint64_t now = thread->loop.now, most = now + ASKED_SECONDS_MAX * NSEC_PER_SEC;

	if (target_is_left_to_checks(record, member_of(generation, route, target)))
		return false;
	return target_lives(record, member_of(generation, route, target)) ||
	       target_claim(record, now, until < most ? until : most);
}

void target_put_off(struct ledger_target *target, const struct config_member *member, uint64_t now)
{
	atomic_store(&target->down_until, now + member->retry);
}

void target_release(struct ledger_target *target)
{
	atomic_store(&target->asked_until, 0);
}

static bool has_name(const struct config_endpoint *endpoint)
{
	return endpoint->legs[0].host_name != NULL;
}

unsigned target_addresses(const struct ledger *ledger, const struct config_endpoint *endpoint,
			  unsigned slot)
{
	return has_name(endpoint) ? ledger->targets[slot].n_addresses : endpoint->n_legs;
}

static bool read_address(const struct ledger_target *target, unsigned index,
			 struct ledger_address *ret)
{
	uint32_t before = atomic_load_explicit(&target->sequence, memory_order_acquire);
	uint32_t count = target->n_addresses;

	if (before & 1 || !count || count > LEDGER_ADDRESSES_MAX)
		return false;
	*ret = target->addresses[(index + atomic_load(&target->turn)) % count];
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&target->sequence, memory_order_relaxed) == before;
}

bool target_address(const struct ledger *ledger, const struct config_endpoint *endpoint,
		    unsigned slot, unsigned index, unsigned *leg, struct address *ret)
{
	struct ledger_address found;

	if (!has_name(endpoint)) {
		*leg = index % endpoint->n_legs;
		*ret = endpoint->legs[*leg].address;
		return true;
	}
	/* The clerk writes for nanoseconds once a second at most: a few looks are enough. */
	for (int i = 0; i < 8; i++) {
		if (!read_address(&ledger->targets[slot], index, &found))
			continue;
		if (found.leg >= endpoint->n_legs || found.len > sizeof found.bytes)
			return false;
		*leg = found.leg;
		ret->len = found.len;
		memcpy(&ret->storage, found.bytes, found.len);
		return true;
	}
	return false;
}

void target_set_addresses(struct ledger_target *target, const struct ledger_address *addresses,
			  unsigned count)
{
	uint32_t sequence = atomic_load(&target->sequence) | 1;

	assert(count <= LEDGER_ADDRESSES_MAX);
	if (!(target->sequence & 1) && target->n_addresses == count &&
	    (!count || !memcmp(target->addresses, addresses, count * sizeof *addresses)))
		return;
	atomic_store(&target->sequence, sequence);
	atomic_thread_fence(memory_order_release);
	if (count)
		memcpy(target->addresses, addresses, count * sizeof *addresses);
	target->n_addresses = count;
	atomic_store(&target->turn, 0);
	atomic_store_explicit(&target->sequence, sequence + 1, memory_order_release);
}

void target_set_origin(struct ledger_target *target, uint64_t origin)
{
	if (target->origin && target->origin != origin) {
		atomic_store(&target->listed, 0);
		atomic_store(&target->refused, 0);
		target_set_addresses(target, NULL, 0);
	}
	target->origin = origin;
}

static void tell(enum log_event event, int level, const struct ledger_target *target,
		 const char *what, int error)
{
	struct log_entry entry = {.event = event};
	const char *why = error ? strerror(error) : "";

	log_add_field(&entry, "TARGET", target->name);
	log_add_field(&entry, "ERROR", why);
	log_event(level, &entry, "target %s is %s%s%s", target->name, what, *why ? ": " : "", why);
}

/* Of all threads that may do it at the same time, the one that crosses the mark reports. */
static void come_up(struct ledger *ledger, struct ledger_target *target)
{
	uint64_t since = atomic_load(&target->down_since);

	atomic_store(&target->failures, 0);
	atomic_store(&target->down_until, 0);
	if (!since || !atomic_compare_exchange_strong(&target->down_since, &since, 0))
		return;
	atomic_store(&target->up_since, clock_monotonic());
	target_release(target);
	target_changed(ledger, target);
	tell(EVENT_TARGET_UP, LOG_NOTICE, target, "up again", 0);
}

void target_succeeded(struct ledger *ledger, struct ledger_target *target, unsigned index)
{
	if (index)
		atomic_fetch_add(&target->turn, index);
	if (atomic_load_explicit(&target->failures, memory_order_relaxed) ||
	    atomic_load_explicit(&target->down_since, memory_order_relaxed))
		come_up(ledger, target);
}

static uint64_t pause_length(const struct config_member *member, uint32_t failures)
{
	uint64_t length = member->backoff
			  << (failures < ASKED_DOUBLINGS_MAX ? failures : ASKED_DOUBLINGS_MAX);

	if (length > member->max_backoff)
		length = member->max_backoff;
	return length < ASKED_PAUSE_MAX_MS * NSEC_PER_MSEC ? length
							   : ASKED_PAUSE_MAX_MS * NSEC_PER_MSEC;
}

void target_failed(struct ledger *ledger, struct ledger_target *target,
		   const struct config_member *member, uint64_t now, int error)
{
	uint32_t failures = atomic_fetch_add(&target->failures, 1) + 1;
	uint64_t up = 0;

	atomic_store(&target->error, (uint32_t)-error);
	atomic_store_explicit(&target->failed_at, now, memory_order_relaxed);
	if (!member->failures || failures < member->failures)
		return;
	atomic_store(&target->down_until, now + member->retry);
	atomic_store(&target->asked_until, now + pause_length(member, failures - member->failures));
	if (!atomic_compare_exchange_strong(&target->down_since, &up, now))
		return;
	atomic_fetch_add(&target->downs, 1);
	target_changed(ledger, target);
	tell(EVENT_TARGET_DOWN, LOG_WARNING, target, "down", -error);
}

bool target_has_failed(const struct ledger *ledger, const struct config_endpoint *endpoint,
		       unsigned slot)
{
	return target_is_checked_down(&ledger->targets[slot]) ||
	       !target_is_listed(&ledger->targets[slot], &endpoint->member) ||
	       !target_lives(&ledger->targets[slot], &endpoint->member) ||
	       !target_addresses(ledger, endpoint, slot);
}

const char *target_tell_failure(const struct ledger_target *target, char text[TARGET_TEXT_MAX])
{
	uint64_t since = target->down_since, now = clock_monotonic();

	if (target_is_checked_down(target))
		target_tell_check(target, text, TARGET_TEXT_MAX);
	else if (target->refused)
		snprintf(text, TARGET_TEXT_MAX, "its service is not offered");
	else if (!since)
		snprintf(text, TARGET_TEXT_MAX, "its name does not resolve");
	else
		snprintf(text, TARGET_TEXT_MAX, "for %llu s, %u failures%s%s",
			 (unsigned long long)(since && since < now ? (now - since) / NSEC_PER_SEC
								   : 0),
			 target->failures, target->error ? ": " : "",
			 target->error ? strerror((int)target->error) : "");
	return text;
}

bool target_fails(const struct thread *thread, const struct generation *generation, unsigned route,
		  unsigned target)
{
	const struct ledger_target *record = target_record(thread, generation, route, target);

	return atomic_load_explicit(&record->failures, memory_order_relaxed) > 0;
}
