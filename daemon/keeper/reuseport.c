/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SO_REUSEPORT groups: all listeners of one, found by its number. While none leaves there is no
 * program, and the kernel's own hash decides. When a socket is closed the last of the group takes
 * its place; so that the program is right before and after, one that does not mention the last is
 * attached first.
 */
#include "keeper/reuseport.h"

#include "ledger/ledger.h"
#include "ledger/original.h"
#include "net/socket.h"
#include "net/steer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

struct member {
	uint64_t group;
	uint32_t index;
};

/* A socket of a group. */
struct socket_of {
	struct ledger_listener *record;
	uint32_t k;
};

static struct member members[LEDGER_LISTENERS_MAX];
static bool some_leave;

static bool is_there(const struct ledger_listener *record)
{
	return record->group &&
	       (record->state == LISTENER_OPEN || record->state == LISTENER_LEAVING);
}

/* Those that are placed first, then the others as they joined: the order of the records. */
static int compare(const void *one, const void *other)
{
	const struct member *a = one, *b = other;

	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	return a->index < b->index ? -1 : 1;
}

static uint32_t collect(const struct ledger *ledger)
{
	uint32_t count = 0;

	some_leave = false;
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++) {
		const struct ledger_listener *record = &ledger->listeners[i];

		if (!is_there(record))
			continue;
		members[count++] = (struct member){record->group, i};
		some_leave |= record->state == LISTENER_LEAVING;
	}
	qsort(members, count, sizeof *members, compare);
	return count;
}

static struct ledger_listener *record_of(struct ledger *ledger, const struct member *member)
{
	return &ledger->listeners[member->index];
}

/* From *from on: the end of its group. */
static const struct member *end_of(const struct member *from, const struct member *end)
{
	const struct member *next = from;

	while (next < end && next->group == from->group)
		next++;
	return next;
}

static bool is_known(struct ledger *ledger, const struct member *from, const struct member *end)
{
	for (; from < end; from++)
		if (record_of(ledger, from)->placed == PLACES_LOST)
			return false;
	return true;
}

static uint32_t count_placed(struct ledger *ledger, const struct member *from,
			     const struct member *end)
{
	uint32_t count = 0;

	for (; from < end; from++) {
		const struct ledger_listener *record = record_of(ledger, from);

		for (uint32_t k = 0; record->placed == PLACES_KNOWN && k < ledger_sockets(record);
		     k++)
			count += record->fds[k] >= 0;
	}
	return count;
}

static void place(struct ledger *ledger, const struct member *from, const struct member *end)
{
	bool known = is_known(ledger, from, end);
	uint32_t next = count_placed(ledger, from, end);

	for (; from < end; from++) {
		struct ledger_listener *record = record_of(ledger, from);

		if (record->placed != PLACES_NONE)
			continue;
		record->placed = known ? PLACES_KNOWN : PLACES_LOST;
		for (uint32_t k = 0; k < ledger_sockets(record); k++)
			record->places[k] = (uint16_t)next++;
	}
}

/* Attaches the program that leads to the sockets that stay, but for one; without any that leave,
 * none. */
static int steer(struct ledger *ledger, const struct member *from, const struct member *end,
		 const struct socket_of *but)
{
	uint16_t places[LEDGER_THREADS_MAX * 8];
	unsigned count = 0;
	bool leave = false;
	int fd = -1;

	for (; from < end; from++) {
		const struct ledger_listener *record = record_of(ledger, from);

		for (uint32_t k = 0; k < ledger_sockets(record); k++) {
			if (record->fds[k] < 0)
				continue;
			fd = record->fds[k];
			leave |= record->state == LISTENER_LEAVING;
			if (record->state == LISTENER_OPEN &&
			    !(but && but->record == record && but->k == k) &&
			    count < sizeof places / sizeof *places)
				places[count++] = record->places[k];
		}
	}
	if (fd < 0 || (leave && !count))
		return -ENOENT;
	return steer_to(fd, places, leave ? count : 0);
}

/* Of those that leave: all sockets, or those that are let go. */
static void stop_those_that_leave(struct ledger *ledger, const struct member *from,
				  const struct member *end, bool let_go)
{
	for (; from < end; from++) {
		const struct ledger_listener *record = record_of(ledger, from);

		for (uint32_t k = 0;
		     record->state == LISTENER_LEAVING && k < ledger_sockets(record); k++)
			if (record->fds[k] >= 0 && (!let_go || record->let_go[k]))
				socket_stop_syn(record->fds[k]);
	}
}

static bool all_leave(struct ledger *ledger, const struct member *from, const struct member *end)
{
	for (; from < end; from++)
		if (record_of(ledger, from)->state != LISTENER_LEAVING)
			return false;
	return true;
}

/* Makes a whole group unreachable. Sockets that bind its address later are in another group: a
 * group of the kernel's has sockets of one device only. */
static bool hide(struct ledger *ledger, const struct member *from, const struct member *end)
{
	bool hidden = true;

	for (const struct member *member = from; member < end; member++) {
		const struct ledger_listener *record = record_of(ledger, member);

		for (uint32_t k = 0; k < ledger_sockets(record); k++)
			if (record->fds[k] >= 0 && steer_hide(record->fds[k]) < 0)
				hidden = false;
	}
	for (; hidden && from < end; from++)
		record_of(ledger, from)->group = 0;
	return hidden;
}

void reuseport_join(struct ledger_listener *record)
{
	record->group = record->n_fds ? steer_group(record->fds[0]) : 0;
	record->placed = PLACES_NONE;
}

void reuseport_settle(struct ledger *ledger)
{
	const struct member *end = members + collect(ledger);

	for (const struct member *from = members, *next; from < end; from = next) {
		next = end_of(from, end);
		place(ledger, from, next);
		if (all_leave(ledger, from, next) && hide(ledger, from, next))
			continue;
		if (!is_known(ledger, from, next) || steer(ledger, from, next, NULL) < 0)
			stop_those_that_leave(ledger, from, next, false);
	}
}

static struct socket_of last_of(struct ledger *ledger, const struct member *from,
				const struct member *end)
{
	uint32_t place = count_placed(ledger, from, end) - 1;

	for (; from < end; from++) {
		struct ledger_listener *record = record_of(ledger, from);

		for (uint32_t k = 0; k < ledger_sockets(record); k++)
			if (record->fds[k] >= 0 && record->places[k] == place)
				return (struct socket_of){record, k};
	}
	return (struct socket_of){0};
}

static void close_one(struct ledger *ledger, const struct member *from, const struct member *end,
		      struct ledger_listener *record, uint32_t k)
{
	struct socket_of last = last_of(ledger, from, end);
	int fd = record->fds[k];

	if (last.record)
		steer(ledger, from, end, &last);
	record->fds[k] = -1;
	original_note_listener(ledger, record);
	close(fd);
	if (last.record) {
		last.record->places[last.k] = record->places[k];
		original_note_listener(ledger, last.record);
	}
	for (uint32_t i = 0; i < ledger_sockets(record); i++)
		if (record->fds[i] >= 0)
			return;
	atomic_store(&record->state, LISTENER_FREE);
	original_note_listener(ledger, record);
}

static bool close_group(struct ledger *ledger, const struct member *from, const struct member *end)
{
	bool closed = false;

	for (const struct member *member = from; member < end; member++)
		original_restore_listener(ledger, record_of(ledger, member));
	/* One that stays, among several that leave, has no place that is right before and after:
	 * for a moment the kernel's hash decides. The others that leave are still accepted from
	 * then, for they let go one at a time; what came to this one would come again. */
	stop_those_that_leave(ledger, from, end, true);

	for (const struct member *member = from; member < end; member++) {
		struct ledger_listener *record = record_of(ledger, member);

		for (uint32_t k = 0;
		     record->state == LISTENER_LEAVING && k < ledger_sockets(record); k++) {
			if (!record->let_go[k] || record->fds[k] < 0)
				continue;
			close_one(ledger, from, end, record, k);
			closed = true;
		}
	}
	return closed;
}

void reuseport_close(struct ledger *ledger)
{
	const struct member *end;

	if (!some_leave)
		return;
	end = members + collect(ledger);
	for (const struct member *from = members, *next; from < end; from = next) {
		next = end_of(from, end);
		if (close_group(ledger, from, next))
			steer(ledger, from, next, NULL);
	}
}

void reuseport_take_over(struct ledger *ledger)
{
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++) {
		struct ledger_listener *record = &ledger->listeners[i];

		some_leave |= record->state == LISTENER_LEAVING;
		if ((record->state != LISTENER_OPEN && record->state != LISTENER_LEAVING) ||
		    record->group)
			continue;
		for (uint32_t k = 0; !record->group && k < ledger_sockets(record); k++)
			record->group = record->fds[k] >= 0 ? steer_group(record->fds[k]) : 0;
		record->placed = PLACES_LOST;
	}
}
