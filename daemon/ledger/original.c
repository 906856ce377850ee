/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Originals. It owns copies of the header, of the keeper's section, and of all tables that the
 * keeper fills. What surprised us: a listener that leaves is the worker's, too, which takes its
 * sockets out of the record; so a place there may become empty, but never have another number.
 */
#include "ledger/original.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/sparse.h"
#include "ledger/ledger.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { RISE_MAX = 1 << 20 }; /* of a count, since the keeper has looked */

/* What is the keeper's of a route, and of a target. */
struct original_route {
	uint32_t used, paused, deaths, callback, hung, reserved;
	uint64_t digest, died, deaths_total;
	char name[LEDGER_NAME_MAX], family[LEDGER_FAMILY_MAX];
};

struct original_target {
	uint32_t used;
	uint64_t digest;
	char name[LEDGER_NAME_MAX];
};

struct original {
	struct ledger_header header;
	struct ledger_keeper keeper;
	struct ledger_generation generations[LEDGER_GENERATIONS_MAX];
	uint32_t listeners_high, routes_high, targets_high;
	struct ledger_listener listeners[LEDGER_LISTENERS_MAX];
	struct original_route routes[LEDGER_ROUTES_MAX];
	struct original_target targets[LEDGER_TARGETS_MAX];
};

/* ---- parts of records ---- */

struct part {
	size_t offset, size;
};

#define FIELD(type, name)                                                     \
	{                                                                     \
		offsetof(struct type, name), sizeof(((struct type *)0)->name) \
	}
#define FIELDS(type, first, last)                                                        \
	{                                                                                \
		offsetof(struct type, first), offsetof(struct type, last) +              \
						      sizeof(((struct type *)0)->last) - \
						      offsetof(struct type, first)       \
	}

/* The keeper's own words in its section. */
static const struct part keeper_parts[] = {
	FIELDS(ledger_keeper, started_at, keeper_pid),
	FIELD(ledger_keeper, threads),
	FIELD(ledger_keeper, starts),
	FIELDS(ledger_keeper, keeper_wake, last_death),
	FIELDS(ledger_keeper, reload_answered, reloads_failed),
	FIELD(ledger_keeper, listeners_high),
	FIELDS(ledger_keeper, file_digest, control_path),
	FIELDS(ledger_keeper, passed, targets_high),
	FIELD(ledger_keeper, unread),
};

/* The descriptors, which are noted as they come and go, and never from what is shared. */
static const struct part fds_part = FIELD(ledger_keeper, fds);

/* Of these, what the keeper writes when it has answered a reload request. */
static const struct part reload_part = FIELDS(ledger_keeper, reload_answered, reloads_failed);

/* A listener's, but for its state and its sockets; of these there may be one, or one a thread. */
static const struct part listener_parts[] = {
	FIELDS(ledger_listener, n_fds, live_digest),
	FIELDS(ledger_listener, leaving_since, waits),
	FIELDS(ledger_listener, group, placed),
	FIELD(ledger_listener, shared),
	FIELDS(ledger_listener, file_device, file_inode),
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static uint32_t restore_parts(void *record, const void *original, const struct part *parts,
			      size_t count)
{
	uint32_t mended = 0;

	for (size_t i = 0; i < count; i++) {
		char *now = (char *)record + parts[i].offset;
		const char *before = (const char *)original + parts[i].offset;

		if (!memcmp(now, before, parts[i].size))
			continue;
		memcpy(now, before, parts[i].size);
		mended++;
	}
	return mended;
}

static void note_parts(void *original, const void *record, const struct part *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		memcpy((char *)original + parts[i].offset, (const char *)record + parts[i].offset,
		       parts[i].size);
}

static uint32_t restore_word(_Atomic uint32_t *word, uint32_t original)
{
	if (*word == original)
		return 0;
	*word = original;
	return 1;
}

/* ---- listeners ---- */

static void note_listener(struct ledger_listener *original, const struct ledger_listener *record)
{
	uint32_t sockets = ledger_sockets(record);

	original->state = record->state;
	original->paused = record->paused;
	original->skip = record->skip;
	note_parts(original, record, listener_parts, COUNT(listener_parts));
	memcpy(original->fds, record->fds, sockets * sizeof *record->fds);
	memcpy(original->places, record->places, sockets * sizeof *record->places);
}

/* One that leaves is closed by its threads, place by place; by the last it is freed. */
static uint32_t restore_leaving(struct ledger_listener *record,
				const struct ledger_listener *original)
{
	uint32_t mended = 0, open = 0;

	for (uint32_t k = 0; k < ledger_sockets(original); k++) {
		if (record->fds[k] != -1 && record->fds[k] != original->fds[k]) {
			record->fds[k] = -1; /* whether it is still open is unknown: the sweep
					      * closes it */
			mended++;
		}
		open += record->fds[k] >= 0;
	}
	if (record->state != LISTENER_LEAVING && (record->state != LISTENER_FREE || open))
		mended += restore_word(&record->state, LISTENER_LEAVING);
	return mended;
}

static uint32_t restore_listener(struct ledger_listener *record,
				 const struct ledger_listener *original)
{
	uint32_t mended = 0, sockets = ledger_sockets(original);

	if (original->state == LISTENER_FREE)
		return restore_word(&record->state, LISTENER_FREE);
	mended = restore_parts(record, original, listener_parts, COUNT(listener_parts));
	if (memcmp(record->places, original->places, sockets * sizeof *record->places) != 0) {
		memcpy(record->places, original->places, sockets * sizeof *record->places);
		mended++;
	}
	if (original->state == LISTENER_LEAVING)
		return mended + restore_leaving(record, original);
	if (memcmp(record->fds, original->fds, sockets * sizeof *record->fds) != 0) {
		memcpy(record->fds, original->fds, sockets * sizeof *record->fds);
		mended++;
	}
	return mended + restore_word(&record->state, original->state);
}

/* An heir resumes what the dead worker has paused; what the keeper has paused stays paused. */
static uint32_t settle_listener(struct ledger_listener *record,
				const struct ledger_listener *original)
{
	uint32_t mended = 0;

	record->paused = original->paused == PAUSE_DEATHS ? PAUSE_DEATHS : PAUSE_NONE;
	record->skip = original->skip && record->skip;
	for (uint32_t k = 0; record->state == LISTENER_OPEN && k < ledger_sockets(record); k++) {
		mended += record->let_go[k] != 0;
		record->let_go[k] = 0;
	}
	return mended;
}

/* ---- routes and targets ---- */

static void note_route(struct original_route *original, const struct ledger_route *record)
{
	*original = (struct original_route){.used = record->used,
					    .paused = record->paused,
					    .deaths = record->deaths,
					    .callback = record->callback,
					    .hung = record->hung,
					    .digest = record->digest,
					    .died = record->died,
					    .deaths_total = record->deaths_total};
	memcpy(original->name, record->name, sizeof original->name);
	memcpy(original->family, record->family, sizeof original->family);
}

static uint32_t restore_route(struct ledger_route *record, const struct original_route *original)
{
	struct original_route now;

	note_route(&now, record);
	if (!memcmp(&now, original, sizeof now))
		return 0;
	record->used = original->used;
	record->digest = original->digest;
	record->paused = original->paused;
	record->deaths = original->deaths;
	record->died = original->died;
	record->deaths_total = original->deaths_total;
	record->callback = original->callback;
	record->hung = original->hung;
	memcpy(record->name, original->name, sizeof record->name);
	memcpy(record->family, original->family, sizeof record->family);
	return 1;
}

static void note_target(struct original_target *original, const struct ledger_target *record)
{
	*original = (struct original_target){.used = record->used, .digest = record->digest};
	memcpy(original->name, record->name, sizeof original->name);
}

static uint32_t restore_target(struct ledger_target *record, const struct original_target *original)
{
	if (record->used == original->used && record->digest == original->digest &&
	    !memcmp(record->name, original->name, sizeof record->name))
		return 0;
	record->used = original->used;
	record->digest = original->digest;
	memcpy(record->name, original->name, sizeof record->name);
	return 1;
}

/* ---- all ---- */

int original_new(struct ledger *ledger)
{
	struct original *original = sparse_new(sizeof *original);

	if (!original)
		return -ENOMEM;
	madvise(original, sizeof *original, MADV_DONTDUMP);
	/* Without this, each page of it that the keeper writes to after a start would be copied
	 * first. */
	madvise(original, sizeof *original, MADV_DONTFORK);
	ledger->original = original;
	ledger->kept = true;
	original->header = *ledger->header;
	memcpy(&original->keeper, ledger->keeper, sizeof original->keeper);
	memcpy(original->generations, ledger->generations, sizeof original->generations);
	original->keeper.log_level = LOG_INFO;
	original_note(ledger);
	return 0;
}

void original_free(struct ledger *ledger)
{
	sparse_free(ledger->original, sizeof *ledger->original);
	ledger->original = NULL;
	ledger->kept = false;
}

void original_leave(struct ledger *ledger)
{
	ledger->original = NULL;
}

void original_note_words(struct ledger *ledger, const volatile void *words, size_t size)
{
	size_t offset =
		(size_t)((const volatile char *)words - (const volatile char *)ledger->keeper);

	assert(offset + size <= sizeof *ledger->keeper);
	if (ledger->original)
		memcpy((char *)&ledger->original->keeper + offset,
		       (const char *)ledger->keeper + offset, size);
}

void original_note_reload(struct ledger *ledger)
{
	if (ledger->original)
		note_parts(&ledger->original->keeper, ledger->keeper, &reload_part, 1);
}

int32_t *original_fds(struct ledger *ledger)
{
	return ledger->original ? ledger->original->keeper.fds : ledger->keeper->fds;
}

struct ledger_generation *original_generations(struct ledger *ledger)
{
	return ledger->original ? ledger->original->generations : ledger->generations;
}

/* How far a table is in use, at least. */
static void note_mark(uint32_t *high, _Atomic uint32_t *mark, uint32_t index)
{
	assert(index < LEDGER_TARGETS_MAX);
	if (*high <= index)
		*mark = *high = index + 1;
}

void original_note_listener(struct ledger *ledger, const struct ledger_listener *record)
{
	struct original *original = ledger->original;
	uint32_t index = (uint32_t)(record - ledger->listeners);

	assert(index < LEDGER_LISTENERS_MAX);
	if (!original)
		return;
	note_listener(&original->listeners[index], record);
	note_mark(&original->listeners_high, &original->keeper.listeners_high, index);
}

void original_note_route(struct ledger *ledger, uint32_t slot)
{
	struct original *original = ledger->original;

	assert(slot < LEDGER_ROUTES_MAX);
	if (!original)
		return;
	note_route(&original->routes[slot], &ledger->routes[slot]);
	note_mark(&original->routes_high, &original->keeper.routes_high, slot);
}

void original_note_target(struct ledger *ledger, uint32_t slot)
{
	struct original *original = ledger->original;

	assert(slot < LEDGER_TARGETS_MAX);
	if (!original)
		return;
	note_target(&original->targets[slot], &ledger->targets[slot]);
	note_mark(&original->targets_high, &original->keeper.targets_high, slot);
}

void original_note(struct ledger *ledger)
{
	struct original *original = ledger->original;

	if (!original)
		return;
	note_parts(&original->keeper, ledger->keeper, keeper_parts, COUNT(keeper_parts));
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		original_note_listener(ledger, &ledger->listeners[i]);
	for (uint32_t i = 0; i < ledger_routes_high(ledger); i++)
		original_note_route(ledger, i);
	for (uint32_t i = 0; i < ledger_targets_high(ledger); i++)
		original_note_target(ledger, i);
}

static uint32_t restore_count(_Atomic uint64_t *count, _Atomic uint64_t *original)
{
	uint64_t now = *count, before = *original;

	if (now < before || now - before > RISE_MAX) {
		*count = before;
		return 1;
	}
	*original = now;
	return 0;
}

/* Counts and requests of others are accepted, within bounds. */
static uint32_t restore_wishes(struct ledger_keeper *keeper, struct ledger_keeper *original)
{
	int level = keeper->log_level;
	uint32_t mended = restore_count(&keeper->reload_asked, &original->reload_asked);

	mended += restore_count(&keeper->dropped_sessions, &original->dropped_sessions);
	mended += restore_count(&keeper->dropped_listeners, &original->dropped_listeners);
	mended += restore_count(&keeper->dropped_controls, &original->dropped_controls);
	mended += restore_count(&keeper->mended, &original->mended);
	if (level < LOG_ERR || level > LOG_DEBUG) {
		atomic_store(&keeper->log_level, original->log_level);
		mended++;
	} else {
		original->log_level = level;
	}
	return mended;
}

static uint32_t restore(struct ledger *ledger)
{
	struct original *original = ledger->original;
	uint32_t mended = 0;

	if (memcmp(ledger->header, &original->header, sizeof original->header) != 0) {
		*ledger->header = original->header;
		mended++;
	}
	mended +=
		restore_parts(ledger->keeper, &original->keeper, keeper_parts, COUNT(keeper_parts));
	mended += restore_parts(ledger->keeper, &original->keeper, &fds_part, 1);
	mended += restore_wishes(ledger->keeper, &original->keeper);
	if (memcmp(ledger->generations, original->generations, sizeof original->generations) != 0) {
		memcpy(ledger->generations, original->generations, sizeof original->generations);
		mended++;
	}
	for (uint32_t i = 0; i < original->listeners_high; i++)
		mended += restore_listener(&ledger->listeners[i], &original->listeners[i]);
	return mended;
}

static uint32_t restore_names(struct ledger *ledger)
{
	struct original *original = ledger->original;
	uint32_t mended = 0;

	for (uint32_t i = 0; i < original->routes_high; i++)
		mended += restore_route(&ledger->routes[i], &original->routes[i]);
	for (uint32_t i = 0; i < original->targets_high; i++)
		mended += restore_target(&ledger->targets[i], &original->targets[i]);
	return mended;
}

static void count_mended(struct ledger *ledger, uint32_t mended)
{
	ledger->original->keeper.mended =
		atomic_fetch_add(&ledger->keeper->mended, mended) + mended;
}

void original_restore_reload(struct ledger *ledger)
{
	struct original *original = ledger->original;

	if (original)
		count_mended(ledger,
			     restore_parts(ledger->keeper, &original->keeper, &reload_part, 1));
}

void original_restore_listener(struct ledger *ledger, struct ledger_listener *record)
{
	const struct original *original = ledger->original;

	if (original)
		count_mended(
			ledger,
			restore_listener(record, &original->listeners[record - ledger->listeners]));
}

void original_restore(struct ledger *ledger)
{
	if (ledger->original)
		count_mended(ledger, restore(ledger));
}

void original_restore_all(struct ledger *ledger)
{
	struct original *original = ledger->original;
	uint32_t mended;

	if (!original)
		return;
	mended = restore(ledger) + restore_names(ledger);
	for (uint32_t i = 0; i < original->listeners_high; i++)
		mended += settle_listener(&ledger->listeners[i], &original->listeners[i]);
	ledger->text[LEDGER_TEXT_MAX - 1] = '\0';
	count_mended(ledger, mended);
}
