/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ledgers of other layouts: of 0.2.0 (version 3, whose sections all have version 1), and of this
 * version with records that have grown or shrunk at their tails. They are read once, into private
 * memory in today's layout, so that no other code handles a different stride. The structs below are
 * what 0.2.0 wrote; they never change.
 */
#include "ledger/convert.h"

#include "ledger/ledger.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum {
	FIRST_VERSION = 3, /* the oldest that is understood */
	NAME_1 = 128,
	ADDRESSES_1 = 16,
	FDS_1 = 128,
	FAILURES_1 = 3, /* in a row marked a target down ... */
	REFUSALS_1 = 4,
	DROPS_1 = 12,
	RECORD_MAX = 1024, /* bytes, of what is converted record by record */
	SECTION_ALIGN = 4096,
};

#define DOWN_1 UINT64_C(10000000000) /* ... and for this time, ns */

struct direction_1 {
	int32_t pipe;
	uint32_t flags;
	uint64_t bytes;
};

struct session_1 {
	uint32_t state, generation;
	uint16_t thread, route, target, deaths;
	int32_t fd[2];
	uint8_t endpoint, leg, connect_leg, attempts;
	uint32_t serial, kill;
	struct direction_1 direction[2];
	uint64_t opened, active, deadline;
	uint32_t first;
	uint8_t address, addresses, admitted, front;
	uint16_t listener;
	uint8_t fronted, reserved[1];
	int32_t stage[2];
	uint8_t reserved2[12];
};

struct listener_1 {
	uint32_t state, generation;
	uint16_t route, endpoint, leg, deaths;
	uint64_t digest, live_digest;
	uint32_t paused, n_fds;
	uint64_t accepted;
	uint32_t skip, leaving_since;
	int32_t fds[FDS_1];
};

struct route_1 {
	uint32_t used, active, turn;
	int32_t waits;
	char name[NAME_1];
};

struct target_1 {
	uint32_t used, failures, reserved, turn;
	uint64_t down_until;
	uint32_t sequence, n_addresses;
	struct ledger_address addresses[ADDRESSES_1];
	char name[NAME_1];
};

struct counter_1 {
	uint64_t sessions, ended, aborted, bytes[2], connect_errors, idle_timeouts, killed,
		refused[REFUSALS_1], messages[2], dropped[DROPS_1], lost, descriptors;
};

_Static_assert(sizeof(struct session_1) == 128 && sizeof(struct listener_1) == 568 &&
		       sizeof(struct route_1) == 144 && sizeof(struct target_1) == 672 &&
		       sizeof(struct counter_1) == 224,
	       "as 0.2.0 wrote them");

static void convert_session(void *to, const void *from)
{
	const struct session_1 *old = from;
	struct ledger_session *record = to;

	record->state = old->state;
	record->serial = old->serial;
	record->generation = old->generation;
	record->route = old->route;
	record->target = old->target;
	record->kill = old->kill;
	record->opened = old->opened;
	record->active = old->active;
	record->deadline = old->deadline;
	record->endpoint = old->endpoint;
	record->listener = old->listener;
	record->cursor = old->first + old->attempts;
	record->attempts = old->attempts;
	record->leg = old->leg;
	record->connect_leg = old->connect_leg;
	record->thread = old->thread;
	record->deaths = old->deaths;
	record->address = old->address;
	record->admitted = old->admitted;
	record->front = old->front;
	record->fronted = old->fronted;
	for (int k = 0; k < 2; k++) {
		record->fd[k] = old->fd[k];
		record->stage[k] = old->stage[k];
		record->direction[k] = (struct ledger_direction){
			old->direction[k].pipe, old->direction[k].flags, old->direction[k].bytes};
	}
}

static void convert_listener(void *to, const void *from)
{
	const struct listener_1 *old = from;
	struct ledger_listener *record = to;

	record->state = old->state;
	record->n_fds = old->n_fds <= FDS_1 ? old->n_fds : 0;
	record->generation = old->generation;
	record->route = old->route;
	record->endpoint = old->endpoint;
	record->leg = old->leg;
	record->deaths = old->deaths;
	record->digest = old->digest;
	record->live_digest = old->live_digest;
	record->paused = old->paused;
	record->skip = old->skip;
	record->accepted = old->accepted;
	record->leaving_since = old->leaving_since;
	memcpy(record->fds, old->fds, sizeof old->fds);
}

/* If 0.2.0 truncated a name, the rest is unknown: such a route or target starts with an empty
 * record. */
static void convert_name(char *name, const char *old, uint64_t *digest)
{
	memcpy(name, old, NAME_1 - 1);
	*digest = ledger_digest(name);
}

static void convert_route(void *to, const void *from)
{
	const struct route_1 *old = from;
	struct ledger_route *record = to;

	record->used = old->used;
	record->active = old->active;
	record->turn = old->turn;
	convert_name(record->name, old->name, &record->digest);
}

static void convert_target(void *to, const void *from)
{
	const struct target_1 *old = from;
	struct ledger_target *record = to;

	record->used = old->used;
	record->failures = old->failures;
	record->down_until = old->down_until;
	if (old->failures >= FAILURES_1)
		record->down_since = old->down_until > DOWN_1 ? old->down_until - DOWN_1 : 1;
	record->turn = old->turn;
	record->sequence = old->sequence;
	record->n_addresses = old->n_addresses <= ADDRESSES_1 ? old->n_addresses : 0;
	memcpy(record->addresses, old->addresses, sizeof old->addresses);
	convert_name(record->name, old->name, &record->digest);
}

static void convert_counter(void *to, const void *from)
{
	const struct counter_1 *old = from;
	struct ledger_counter *record = to;

	record->sessions = old->sessions;
	record->ended = old->ended;
	record->aborted = old->aborted;
	record->connect_errors = old->connect_errors;
	record->idle_timeouts = old->idle_timeouts;
	record->killed = old->killed;
	record->lost = old->lost;
	record->descriptors = old->descriptors;
	for (int k = 0; k < 2; k++) {
		record->bytes[k] = old->bytes[k];
		record->messages[k] = old->messages[k];
	}
	for (int k = 0; k < REFUSALS_1; k++)
		record->refused[k] = old->refused[k];
	for (int k = 0; k < DROPS_1; k++)
		record->dropped[k] = old->dropped[k];
}

/* Sections whose version 1 differs from today's. */
static const struct {
	size_t size;
	void (*convert)(void *to, const void *from);
} earlier[LEDGER_SECTIONS] = {
	[LEDGER_SESSIONS] = {sizeof(struct session_1), convert_session},
	[LEDGER_LISTENERS] = {sizeof(struct listener_1), convert_listener},
	[LEDGER_ROUTES] = {sizeof(struct route_1), convert_route},
	[LEDGER_TARGETS] = {sizeof(struct target_1), convert_target},
	[LEDGER_COUNTERS] = {sizeof(struct counter_1), convert_counter},
};

static bool knows_version(const struct ledger_header *today, const struct ledger_section *section)
{
	return section->version == today->sections[section->id].version ||
	       (section->version == 1 && earlier[section->id].convert);
}

static uint64_t next_page(uint64_t offset)
{
	return (offset + SECTION_ALIGN - 1) / SECTION_ALIGN * SECTION_ALIGN;
}

/* Each section begins where the one before ends: a wrong count shows. */
bool convert_is_sound(const struct ledger_header *header, uint64_t size)
{
	struct ledger_header today;
	uint64_t end = sizeof *header;

	if (memcmp(header->magic, "SPLICED", sizeof header->magic) != 0 || header->size != size)
		return false;
	if (header->version < FIRST_VERSION || header->version > LEDGER_VERSION ||
	    header->n_sections < LEDGER_FLOWS + 1 || header->n_sections > LEDGER_SECTIONS)
		return false;
	ledger_lay_out(&today, 1, 1);
	for (uint32_t i = 0; i < header->n_sections; i++) {
		const struct ledger_section *section = &header->sections[i];

		if (section->id != i || !section->stride || section->offset > size ||
		    !knows_version(&today, section) ||
		    (uint64_t)section->stride * section->count > size - section->offset ||
		    section->offset != next_page(end))
			return false;
		end = section->offset + (uint64_t)section->stride * section->count;
	}
	return next_page(end) == next_page(size) && header->sections[LEDGER_KEEPER].count == 1 &&
	       header->sections[LEDGER_THREADS].count > 1 &&
	       header->sections[LEDGER_THREADS].count <= LEDGER_THREADS_MAX &&
	       header->sections[LEDGER_COUNTERS].count % header->sections[LEDGER_THREADS].count ==
		       0 &&
	       header->sections[LEDGER_FLOWS].count == header->sections[LEDGER_SESSIONS].count;
}

bool convert_is_today(const struct ledger_header *header)
{
	struct ledger_header today;

	ledger_lay_out(&today, header->sections[LEDGER_THREADS].count - 1,
		       header->sections[LEDGER_SESSIONS].count);
	return header->size == today.size && !memcmp(header, &today, sizeof today);
}

/* ---- from one layout to the other ---- */

struct conversion {
	struct ledger *ledger;
	const struct ledger_header *old;
};

static const char *record_of(const struct ledger_header *header, uint32_t id, uint32_t index)
{
	return (const char *)header + header->sections[id].offset +
	       (size_t)index * header->sections[id].stride;
}

static void convert_record(const struct conversion *conversion, uint32_t id, uint32_t to,
			   uint32_t from)
{
	const struct ledger_section *now = &conversion->ledger->header->sections[id],
				    *before = &conversion->old->sections[id];
	char *target = (char *)record_of(conversion->ledger->header, id, to);
	const char *source = record_of(conversion->old, id, from);
	_Alignas(16) char record[RECORD_MAX] = {0};

	if (now->version == before->version) {
		memcpy(target, source, now->stride < before->stride ? now->stride : before->stride);
		return;
	}
	memcpy(record, source,
	       before->stride < earlier[id].size ? before->stride : earlier[id].size);
	earlier[id].convert(target, record);
}

static int convert_section(const struct conversion *conversion, uint32_t id, uint32_t count)
{
	if (id >= conversion->old->n_sections)
		return 0;
	if (count > conversion->old->sections[id].count ||
	    count > conversion->ledger->header->sections[id].count)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++)
		convert_record(conversion, id, i, i);
	return 0;
}

static uint32_t used_up_to(const struct conversion *conversion, enum ledger_section_id id)
{
	uint32_t count = conversion->old->sections[id].count,
		 most = conversion->ledger->header->sections[id].count;

	return count < most ? count : most;
}

/* As many as were ever used. */
static int convert_names(const struct conversion *conversion)
{
	struct ledger *ledger = conversion->ledger;
	uint32_t routes = used_up_to(conversion, LEDGER_ROUTES),
		 targets = used_up_to(conversion, LEDGER_TARGETS);
	int r;

	if (ledger_routes_high(ledger) || ledger_targets_high(ledger)) {
		routes = ledger_routes_high(ledger);
		targets = ledger_targets_high(ledger);
	}
	r = convert_section(conversion, LEDGER_ROUTES, routes);
	if (!r)
		r = convert_section(conversion, LEDGER_TARGETS, targets);
	while (!r && routes && !ledger->routes[routes - 1].used)
		routes--;
	while (!r && targets && !ledger->targets[targets - 1].used)
		targets--;
	ledger->keeper->routes_high = routes;
	ledger->keeper->targets_high = targets;
	return r;
}

static void convert_counters(const struct conversion *conversion)
{
	const struct ledger *ledger = conversion->ledger;
	uint32_t each = conversion->old->sections[LEDGER_COUNTERS].count /
			conversion->old->sections[LEDGER_THREADS].count;

	for (uint32_t thread = 0; thread <= ledger->n_threads; thread++)
		for (uint32_t route = 0; route < each && route < ledger_routes_high(ledger);
		     route++)
			convert_record(conversion, LEDGER_COUNTERS,
				       thread * LEDGER_ROUTES_MAX + route, thread * each + route);
}

static int convert_all(const struct conversion *conversion)
{
	struct ledger *ledger = conversion->ledger;
	int r = convert_section(conversion, LEDGER_KEEPER, 1);

	if (!r)
		r = convert_section(conversion, LEDGER_SESSIONS, ledger_sessions_high(ledger));
	if (!r)
		r = convert_section(conversion, LEDGER_FLOWS, ledger_sessions_high(ledger));
	if (!r)
		r = convert_section(conversion, LEDGER_LISTENERS, ledger_listeners_high(ledger));
	if (!r)
		r = convert_names(conversion);
	if (r)
		return r;
	convert_counters(conversion);
	for (uint32_t id = LEDGER_CONTROLS; id < conversion->old->n_sections && !r; id++)
		if (id != LEDGER_FLOWS)
			r = convert_section(conversion, id, used_up_to(conversion, id));
	return r;
}

int convert_ledger(struct ledger *ledger, const struct ledger_header *old)
{
	struct conversion conversion = {ledger, old};
	struct ledger_header header = {0};
	int r;

	ledger->n_threads = old->sections[LEDGER_THREADS].count - 1;
	ledger->n_sessions = old->sections[LEDGER_SESSIONS].count;
	ledger_lay_out(&header, ledger->n_threads, ledger->n_sessions);
	ledger->header = mmap(NULL, header.size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ledger->header == MAP_FAILED) {
		ledger->header = NULL;
		return -errno;
	}
	madvise(ledger->header, header.size, MADV_DONTDUMP);
	*ledger->header = header;
	ledger_find_sections(ledger);
	r = convert_all(&conversion);
	if (r) {
		munmap(ledger->header, header.size);
		ledger->header = NULL;
	}
	return r;
}
