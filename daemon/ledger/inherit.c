/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A ledger from another process: this program's last life, or the release before. Both are seen in
 * today's layout (convert.h). */
#include "ledger/convert.h"
#include "ledger/extent.h"
#include "ledger/ledger.h"
#include "ledger/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COUNTER_WORDS = sizeof(struct ledger_counter) / sizeof(uint64_t) };

/* The marks are not trusted either: the used size of a table is found in the table. Marks of
 * records that have none yet stay 0. */
static void find_marks(int fd, struct ledger_header *header)
{
	struct ledger_keeper *keeper =
		(void *)((char *)header + header->sections[LEDGER_KEEPER].offset);
	uint32_t stride = header->sections[LEDGER_KEEPER].stride;

	if (stride >= offsetof(struct ledger_keeper, file_digest)) {
		keeper->sessions_high = extent_used(fd, header, LEDGER_SESSIONS);
		keeper->listeners_high = extent_used(fd, header, LEDGER_LISTENERS);
	}
	if (stride >= offsetof(struct ledger_keeper, log_losses)) {
		keeper->routes_high = extent_used(fd, header, LEDGER_ROUTES);
		keeper->targets_high = extent_used(fd, header, LEDGER_TARGETS);
	}
}

static int open_header(struct ledger *ledger, struct ledger_header *header, uint64_t size)
{
	int r;

	if (!convert_is_sound(header, size))
		return -EPROTO;
	find_marks(ledger->fd, header);
	if (!convert_is_today(header)) {
		r = convert_ledger(ledger, header);
		if (!r)
			munmap(header, size);
		return r;
	}
	ledger->header = header;
	ledger_find_sections(ledger);
	ledger->n_threads = header->sections[LEDGER_THREADS].count - 1;
	ledger->n_sessions = header->sections[LEDGER_SESSIONS].count;
	return 0;
}

int ledger_open(struct ledger *ledger, int fd)
{
	struct ledger_header *header;
	struct stat status;
	uint64_t size;
	int r;

	*ledger = (struct ledger){
		.fd = fd, .table_fd = -1, .keeper_wake = -1, .clerk_wake = -1, .control_fd = -1};
	if (fstat(fd, &status) < 0)
		return -errno;
	size = (uint64_t)status.st_size;
	if (size < sizeof *header)
		return -EPROTO;
	/* Corrections are for our copy only: the original may be in use. */
	header = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	if (header == MAP_FAILED)
		return -errno;
	madvise(header, size, MADV_DONTDUMP);
	r = open_header(ledger, header, size);
	if (r) {
		munmap(header, size);
		*ledger = (struct ledger){.fd = fd};
	}
	return r;
}

static const char *record_of(const struct ledger *ledger, enum ledger_section_id id)
{
	return (const char *)ledger->header + ledger->header->sections[id].offset;
}

static void copy_section(struct ledger *ledger, const struct ledger *old, enum ledger_section_id id,
			 uint32_t count)
{
	memcpy((char *)record_of(ledger, id), record_of(old, id),
	       (size_t)count * ledger->header->sections[id].stride);
}

/* The thread, or the clerk, that continues the work of an older one. */
static uint32_t heir_of(const struct ledger *ledger, const struct ledger *old, uint32_t thread)
{
	return thread >= old->n_threads ? ledger->n_threads : thread % ledger->n_threads;
}

/* Counts of threads that are no more are added to those of their heirs. */
static void copy_counters(struct ledger *ledger, const struct ledger *old)
{
	for (uint32_t thread = 0; thread <= old->n_threads; thread++)
		for (uint32_t route = 0; route < ledger_routes_high(old); route++) {
			const uint64_t *from = (const uint64_t *)ledger_counter(old, thread, route);
			uint64_t *to = (uint64_t *)ledger_counter(
				ledger, heir_of(ledger, old, thread), route);

			for (size_t i = 0; i < COUNTER_WORDS; i++)
				to[i] += from[i];
		}
}

static void copy_sessions(struct ledger *ledger, const struct ledger *old)
{
	uint32_t high = ledger_sessions_high(old);

	copy_section(ledger, old, LEDGER_SESSIONS, high);
	copy_section(ledger, old, LEDGER_FLOWS, high);
	copy_section(ledger, old, LEDGER_COOKIES, high);
	for (uint32_t i = 0; i < high; i++)
		ledger->sessions[i].thread =
			(uint16_t)heir_of(ledger, old, ledger->sessions[i].thread);
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
	ledger->control_fd = keeper->control_fd;
	memcpy(keeper->config_path, own.config_path, sizeof own.config_path);
}

int ledger_inherit(struct ledger *ledger, const struct ledger *old)
{
	if (ledger_sessions_high(old) > ledger->n_sessions)
		return -ENOSPC;
	copy_keeper(ledger, old);
	copy_sessions(ledger, old);
	copy_counters(ledger, old);
	copy_section(ledger, old, LEDGER_LISTENERS, ledger_listeners_high(old));
	copy_section(ledger, old, LEDGER_ROUTES, ledger_routes_high(old));
	copy_section(ledger, old, LEDGER_TARGETS, ledger_targets_high(old));
	ledger_forget_slots(ledger);
	copy_section(ledger, old, LEDGER_CONTROLS, LEDGER_CONTROLS_MAX);
	copy_section(ledger, old, LEDGER_TEXT, LEDGER_TEXT_MAX);
	copy_section(ledger, old, LEDGER_GENERATIONS, LEDGER_GENERATIONS_MAX);
	copy_section(ledger, old, LEDGER_UNITS, LEDGER_UNITS_MAX);
	for (uint32_t i = 0; i < LEDGER_KEPT_MAX; i++)
		if (old->firsts[i].owner != KEPT_FREE)
			ledger->firsts[i] = old->firsts[i];
	return 0;
}
