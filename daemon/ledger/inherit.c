/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ledger from another process: this program's last life, or another release's. Records grow at their tails and sections at the
 * header's, so that what both know is copied, and what only one knows is zero.
 */
#include "ledger/ledger.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FIRST_VERSION = 3, /* the oldest that is understood */
	COUNTER_WORDS = sizeof(struct ledger_counter) / sizeof(uint64_t),
};

static bool is_sound(const struct ledger_header *header, uint64_t size)
{
	if (memcmp(header->magic, "SPLICED", 8) != 0 || header->size != size)
		return false;
	/* A later version is one in which what we know has come to mean something else. */
	if (header->version < FIRST_VERSION || header->version > LEDGER_VERSION || header->n_sections < LEDGER_FLOWS + 1 ||
	    header->n_sections > LEDGER_SECTIONS)
		return false;
	for (uint32_t i = 0; i < header->n_sections; i++) {
		const struct ledger_section *section = &header->sections[i];

		if (section->id != i || section->offset > size || (uint64_t)section->stride * section->count > size - section->offset)
			return false;
	}
	return true;
}

int ledger_open(struct ledger *ledger, int fd)
{
	struct stat status;

	*ledger = (struct ledger){.fd = fd};
	if (fstat(fd, &status) < 0)
		return -errno;
	if ((size_t)status.st_size < sizeof *ledger->header)
		return -EPROTO;
	ledger->header = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ledger->header == MAP_FAILED) {
		ledger->header = NULL;
		return -errno;
	}
	madvise(ledger->header, (size_t)status.st_size, MADV_DONTDUMP);
	if (!is_sound(ledger->header, (uint64_t)status.st_size)) {
		munmap(ledger->header, (size_t)status.st_size);
		ledger->header = NULL;
		return -EPROTO;
	}
	ledger_find_sections(ledger);
	ledger->n_threads = ledger->header->sections[LEDGER_THREADS].count - 1;
	ledger->n_sessions = ledger->header->sections[LEDGER_SESSIONS].count;
	return 0;
}

static const char *record_of(const struct ledger *ledger, enum ledger_section_id id, uint32_t index)
{
	const struct ledger_section *section = &ledger->header->sections[id];

	return (const char *)ledger->header + section->offset + (size_t)index * section->stride;
}

static void copy_section(struct ledger *ledger, const struct ledger *old, enum ledger_section_id id, uint32_t count)
{
	const struct ledger_section *now = &ledger->header->sections[id], *before = &old->header->sections[id];
	size_t size = now->stride < before->stride ? now->stride : before->stride;

	for (uint32_t i = 0; i < count; i++)
		memcpy((char *)record_of(ledger, id, i), record_of(old, id, i), size);
}

/* The thread, or the clerk, that goes on with what an older one had. */
static uint32_t heir_of(const struct ledger *ledger, const struct ledger *old, uint32_t thread)
{
	return thread >= old->n_threads ? ledger->n_threads : thread % ledger->n_threads;
}

/* Counts of threads that are no more are added to those of their heirs. */
static void copy_counters(struct ledger *ledger, const struct ledger *old)
{
	size_t words = old->header->sections[LEDGER_COUNTERS].stride / sizeof(uint64_t);

	if (words > COUNTER_WORDS)
		words = COUNTER_WORDS;
	for (uint32_t thread = 0; thread <= old->n_threads; thread++)
		for (uint32_t route = 0; route < LEDGER_ROUTES_MAX; route++) {
			const uint64_t *from = (const uint64_t *)record_of(old, LEDGER_COUNTERS, thread * LEDGER_ROUTES_MAX + route);
			uint64_t *to = (uint64_t *)ledger_counter(ledger, heir_of(ledger, old, thread), route);

			for (size_t i = 0; i < words; i++)
				to[i] += from[i];
		}
}

static void copy_sessions(struct ledger *ledger, const struct ledger *old)
{
	uint32_t high = old->keeper->sessions_high;

	copy_section(ledger, old, LEDGER_SESSIONS, high);
	copy_section(ledger, old, LEDGER_FLOWS, high);
	for (uint32_t i = 0; i < high; i++)
		ledger->sessions[i].thread = (uint16_t)heir_of(ledger, old, ledger->sessions[i].thread);
}

/* What is this process's own is not copied. */
static void copy_keeper(struct ledger *ledger, const struct ledger *old)
{
	struct ledger_keeper own = *ledger->keeper, *keeper = ledger->keeper;

	copy_section(ledger, old, LEDGER_KEEPER, 1);
	keeper->keeper_pid = own.keeper_pid;
	keeper->worker_pid = 0;
	keeper->worker_state = WORKER_NONE;
	keeper->threads = ledger->n_threads;
	memcpy(keeper->fds, own.fds, sizeof keeper->fds);
	keeper->keeper_wake = own.keeper_wake;
	keeper->clerk_wake = own.clerk_wake;
	memcpy(keeper->config_path, own.config_path, sizeof own.config_path);
}

int ledger_inherit(struct ledger *ledger, const struct ledger *old)
{
	const struct ledger_section *now = ledger->header->sections, *before = old->header->sections;

	if (old->keeper->sessions_high > ledger->n_sessions || old->keeper->listeners_high > LEDGER_LISTENERS_MAX)
		return -ENOSPC;
	for (uint32_t id = LEDGER_ROUTES; id < old->header->n_sections; id++)
		if (before[id].count > now[id].count && id != LEDGER_COUNTERS && id != LEDGER_FLOWS)
			return -ENOSPC;
	copy_keeper(ledger, old);
	copy_sessions(ledger, old);
	copy_section(ledger, old, LEDGER_LISTENERS, old->keeper->listeners_high);
	copy_counters(ledger, old);
	copy_section(ledger, old, LEDGER_ROUTES, before[LEDGER_ROUTES].count);
	copy_section(ledger, old, LEDGER_TARGETS, before[LEDGER_TARGETS].count);
	copy_section(ledger, old, LEDGER_CONTROLS, before[LEDGER_CONTROLS].count);
	copy_section(ledger, old, LEDGER_TEXT, before[LEDGER_TEXT].count);
	if (old->header->n_sections > LEDGER_GENERATIONS)
		copy_section(ledger, old, LEDGER_GENERATIONS, before[LEDGER_GENERATIONS].count);
	return 0;
}
