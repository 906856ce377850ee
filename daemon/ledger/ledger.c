/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ledger: makes the memfd, lays the sections out in it, and finds them again. Unwritten pages
 * cost nothing, so that tables may be sized for the worst case. It stays out of core dumps: dumping
 * it would hold up the heir.
 */
#include "ledger/ledger.h"

#include "base/assert.h"
#include "config/limit.h"
#include "ledger/original.h"
#include "ledger/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SECTION_ALIGN = 4096 };

static const char ledger_magic[8] = "SPLICED";

_Static_assert(sizeof(struct ledger_thread) % 64 == 0, "no two threads share a cache line");
_Static_assert((int)LEDGER_ROUTES_MAX >= 2 * (int)LIMIT_ROUTES &&
		       (int)LEDGER_TARGETS_MAX >= 2 * (int)LIMIT_TARGETS &&
		       (int)LEDGER_LISTENERS_MAX >= 2 * (int)LIMIT_LISTENERS,
	       "places for two configurations");
_Static_assert(sizeof(struct ledger_session) == 128, "two cache lines a session");

void ledger_lay_out(struct ledger_header *header, uint32_t threads, uint32_t sessions)
{
	const struct {
		uint32_t version, count;
		size_t stride;
	} sizes[LEDGER_SECTIONS] = {
		[LEDGER_KEEPER] = {1, 1, sizeof(struct ledger_keeper)},
		[LEDGER_THREADS] = {1, threads + 1, sizeof(struct ledger_thread)},
		[LEDGER_SESSIONS] = {2, sessions, sizeof(struct ledger_session)},
		[LEDGER_LISTENERS] = {2, LEDGER_LISTENERS_MAX, sizeof(struct ledger_listener)},
		[LEDGER_ROUTES] = {2, LEDGER_ROUTES_MAX, sizeof(struct ledger_route)},
		[LEDGER_TARGETS] = {2, LEDGER_TARGETS_MAX, sizeof(struct ledger_target)},
		[LEDGER_COUNTERS] = {2, (threads + 1) * LEDGER_ROUTES_MAX,
				     sizeof(struct ledger_counter)},
		[LEDGER_CONTROLS] = {1, LEDGER_CONTROLS_MAX, sizeof(struct ledger_control)},
		[LEDGER_TEXT] = {1, LEDGER_TEXT_MAX, 1},
		[LEDGER_FLOWS] = {1, sessions, sizeof(struct ledger_flow)},
		[LEDGER_GENERATIONS] = {1, LEDGER_GENERATIONS_MAX,
					sizeof(struct ledger_generation)},
		[LEDGER_KEPT] = {1, LEDGER_KEPT_MAX, sizeof(struct ledger_kept)},
		[LEDGER_UNITS] = {1, LEDGER_UNITS_MAX, sizeof(struct ledger_unit)},
		[LEDGER_COOKIES] = {1, sessions, sizeof(struct ledger_cookies)},
	};
	uint64_t offset = sizeof *header;

	memcpy(header->magic, ledger_magic, sizeof ledger_magic);
	header->version = LEDGER_VERSION;
	header->n_sections = LEDGER_SECTIONS;
	for (uint32_t i = 0; i < LEDGER_SECTIONS; i++) {
		offset = (offset + SECTION_ALIGN - 1) / SECTION_ALIGN * SECTION_ALIGN;
		header->sections[i] = (struct ledger_section){.id = i,
							      .version = sizes[i].version,
							      .stride = (uint32_t)sizes[i].stride,
							      .count = sizes[i].count,
							      .offset = offset};
		offset += (uint64_t)sizes[i].stride * sizes[i].count;
	}
	header->size = offset;
}

static void *section(const struct ledger *ledger, enum ledger_section_id id)
{
	return (char *)ledger->header + ledger->header->sections[id].offset;
}

void ledger_find_sections(struct ledger *ledger)
{
	ledger->keeper = section(ledger, LEDGER_KEEPER);
	ledger->threads = section(ledger, LEDGER_THREADS);
	ledger->sessions = section(ledger, LEDGER_SESSIONS);
	ledger->listeners = section(ledger, LEDGER_LISTENERS);
	ledger->routes = section(ledger, LEDGER_ROUTES);
	ledger->targets = section(ledger, LEDGER_TARGETS);
	ledger->counters = section(ledger, LEDGER_COUNTERS);
	ledger->controls = section(ledger, LEDGER_CONTROLS);
	ledger->text = section(ledger, LEDGER_TEXT);
	ledger->flows = section(ledger, LEDGER_FLOWS);
	ledger->generations = section(ledger, LEDGER_GENERATIONS);
	ledger->firsts = section(ledger, LEDGER_KEPT);
	ledger->units = section(ledger, LEDGER_UNITS);
	ledger->cookies = section(ledger, LEDGER_COOKIES);
}

int ledger_init(struct ledger *ledger, uint32_t threads, uint32_t sessions)
{
	struct ledger_header header = {0};
	int fd, r;

	assert(threads > 0 && threads < LEDGER_THREADS_MAX);
	ledger_lay_out(&header, threads, sessions);
	fd = memfd_create("spliced-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	*ledger = (struct ledger){.fd = fd,
				  .table_fd = -1,
				  .keeper_wake = -1,
				  .clerk_wake = -1,
				  .control_fd = -1,
				  .n_threads = threads,
				  .n_sessions = sessions};
	if (ftruncate(fd, (off_t)header.size) < 0)
		goto fail;
	ledger->header = mmap(NULL, header.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ledger->header == MAP_FAILED)
		goto fail;
	madvise(ledger->header, header.size, MADV_DONTDUMP);
	/* A process that shares it may write to it, but not truncate it. */
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	*ledger->header = header;
	ledger_find_sections(ledger);
	for (int i = 0; i < LEDGER_KEEPER_FDS; i++)
		ledger->keeper->fds[i] = -1;
	ledger->keeper->keeper_wake = ledger->keeper->clerk_wake = ledger->keeper->control_fd = -1;
	ledger->keeper->threads = threads;
	return 0;
fail:
	r = -errno;
	close(fd);
	return r;
}

void ledger_done(struct ledger *ledger)
{
	if (!ledger->header)
		return;
	ledger_forget_slots(ledger);
	original_free(ledger);
	munmap(ledger->header, ledger->header->size);
	close(ledger->fd);
	*ledger = (struct ledger){.fd = -1, .table_fd = -1};
}

int ledger_note_generation(struct ledger *ledger, uint32_t number, int fd)
{
	struct ledger_generation *own = original_generations(ledger);
	int spare = -1;

	assert(number > 0 && fd >= 0);
	for (int i = 0; i < LEDGER_GENERATIONS_MAX; i++) {
		if (own[i].number == number)
			return 0;
		if (!own[i].number && spare < 0)
			spare = i;
	}
	if (spare < 0)
		return -ENOSPC;
	own[spare] = ledger->generations[spare] = (struct ledger_generation){number, fd};
	return 0;
}

void ledger_forget_generation(struct ledger *ledger, uint32_t number)
{
	struct ledger_generation *own = original_generations(ledger);

	assert(number > 0);
	for (int i = 0; i < LEDGER_GENERATIONS_MAX; i++)
		if (own[i].number == number)
			own[i] = ledger->generations[i] = (struct ledger_generation){0};
}

void ledger_open_table(struct ledger *ledger)
{
	ledger->table_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ledger->table_fd < 0 || !ledger_keep_fd(ledger, ledger->table_fd))
		return;
	close(ledger->table_fd);
	ledger->table_fd = -1;
}

int ledger_keep_fd(struct ledger *ledger, int fd)
{
	int32_t *own = original_fds(ledger);

	assert(fd >= 0);
	for (int i = 0; i < LEDGER_KEEPER_FDS; i++)
		if (own[i] < 0) {
			own[i] = ledger->keeper->fds[i] = fd;
			return 0;
		}
	return -ENOSPC;
}

void ledger_forget_fd(struct ledger *ledger, int fd)
{
	int32_t *own = original_fds(ledger);

	assert(fd >= 0);
	for (int i = 0; i < LEDGER_KEEPER_FDS; i++)
		if (own[i] == fd)
			own[i] = ledger->keeper->fds[i] = -1;
}
