/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A ledger that something wrote into: what the keeper has written is put back, what fits no more is
 * dropped, and nothing else changes. */
#include "base/clock.h"
#include "base/report.h"
#include "config/config.h"
#include "keeper/blame.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/manifest.h"
#include "ledger/original.h"
#include "ledger/unit.h"
#include "ledger/validate.h"
#include "net/socket.h"
#include "suite.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
	SESSIONS = 40,
	RIGHT = 0,
	OTHER = 1,
	CONNECTING = 2,
	FED = 3,
	DIALED = 4,
	KINDS = 5,
	RANDOM_ROUNDS = 20000
};

static const char text[] =
	"daemon: { };\n"
	"routes: {\n"
	"  web: { listen = \"tcp4://127.0.0.1:9\"; target = (\"unix:///a\", \"unix:///b\"); };\n"
	"  datagrams: { listen = \"udp4://127.0.0.1:9\"; target = \"udp4://127.0.0.1:10\"; };\n"
	"  dialed: { dial = \"tcp4://127.0.0.1:11\"; target = \"unix:///a\"; };\n"
	"};\n";

static struct families families;
static struct report report;
static struct ledger ledger;
static struct generation *generation;
static int sockets[KINDS + 2][2], spare_pipe[2];

static void read_generation(void)
{
	char path[] = "/tmp/spliced-validate-XXXXXX";
	struct config_source source = {.path = path, .families = &families};
	struct config *config;
	int file = mkstemp(path), fd = memfd_create("generation", MFD_CLOEXEC);

	ck_assert_int_eq(write(file, text, sizeof text - 1), sizeof text - 1);
	close(file);
	ck_assert_msg(!config_load(&source, &config, &report), "%s",
		      report.text ? report.text : "");
	ck_assert_int_eq(config_write_generation(config, &families, fd, &report), 0);
	config_free(config);
	unlink(path);
	ck_assert_int_eq(generation_new(&generation, 1, fd, &families, &ledger, &report), 0);
}

static uint32_t route_named(const char *name)
{
	for (uint32_t i = 0; i < generation->config->n_routes; i++)
		if (!strcmp(generation->config->routes[i].name, name))
			return i;
	ck_abort_msg("no route %s", name);
}

static void fill(uint32_t slot, const char *route, enum ledger_front front,
		 enum ledger_session_state state)
{
	struct ledger_session *record = &ledger.sessions[slot];

	*record = (struct ledger_session){.generation = 1,
					  .route = route_named(route),
					  .serial = 7,
					  .front = front,
					  .admitted = 1};
	record->fd[0] = front == FRONT_FED ? -1 : sockets[slot][0];
	record->fd[1] = state == SESSION_RELAYING ? sockets[slot][1] : -1;
	record->direction[0].pipe = record->direction[1].pipe = record->stage[0] =
		record->stage[1] = -1;
	record->opened = record->active = clock_monotonic();
	record->fronted = front == FRONT_DIALED;
	record->state = state;
}

static void fill_listener(uint32_t index, const char *route, int fd)
{
	ledger.listeners[index] = (struct ledger_listener){
		.generation = 1, .route = route_named(route), .n_fds = 1, .digest = index + 1};
	ledger.listeners[index].fds[0] = fd;
	ledger.listeners[index].state = LISTENER_OPEN;
	ledger.keeper->listeners_high = index + 1;
}

static void fill_all(void)
{
	fill_listener(0, "web", sockets[KINDS][0]);
	fill_listener(1, "datagrams", sockets[KINDS][1]);
	fill(RIGHT, "web", FRONT_ACCEPTED, SESSION_RELAYING);
	fill(OTHER, "web", FRONT_ACCEPTED, SESSION_RELAYING);
	fill(CONNECTING, "web", FRONT_ACCEPTED, SESSION_CONNECTING);
	fill(FED, "datagrams", FRONT_FED, SESSION_RELAYING);
	fill(DIALED, "dialed", FRONT_DIALED, SESSION_RELAYING);
	ledger.sessions[FED].listener = 1;
	ledger.sessions[RIGHT].direction[0].pipe = spare_pipe[0];
	ledger.controls[0] = (struct ledger_control){.fd = sockets[KINDS + 1][0]};
	ledger.controls[0].state = CONTROL_READING;
	ledger.keeper->sessions_high = KINDS;
	ledger.keeper->log_level = 6;
}

static void set_up(void)
{
	const char *plugins = getenv("SPLICED_PLUGIN_DIR");

	ck_assert_msg(plugins, "SPLICED_PLUGIN_DIR says where the families are");
	ck_assert_int_eq(families_init(&families, plugins, geteuid()), 0);
	ck_assert_int_eq(ledger_init(&ledger, 2, SESSIONS), 0);
	ck_assert_int_eq(ledger_unit_slot(&ledger, "app.service"), 0);
	for (int i = 0; i < KINDS + 2; i++)
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets[i]), 0);
	ck_assert_int_eq(pipe(spare_pipe), 0);
	read_generation();
	fill_all();
	ck_assert_int_eq(original_new(&ledger), 0);
}

static void tear_down(void)
{
	for (int i = 0; i < KINDS + 2; i++) {
		close(sockets[i][0]);
		close(sockets[i][1]);
	}
	close(spare_pipe[0]);
	close(spare_pipe[1]);
	generation_free(generation, &ledger);
	ledger_done(&ledger);
	report_done(&report);
	families_done(&families);
}

static uint64_t sum(void)
{
	struct validation found = validate_sums(&ledger);

	return found.sessions + found.listeners + found.controls + found.mended;
}

START_TEST(what_is_right_stays_as_it_is)
{
	struct ledger_session before[KINDS];

	memcpy(before, ledger.sessions, sizeof before);
	original_restore_all(&ledger);
	validate_ledger(&ledger, generation);
	ck_assert_mem_eq(before, ledger.sessions, sizeof before);
	ck_assert_uint_eq(sum(), 0);
	ck_assert_int_eq(ledger.controls[0].fd, sockets[KINDS + 1][0]);
}
END_TEST

#define WORD(slot, field, value)                                                             \
	{                                                                                    \
		slot, offsetof(struct ledger_session, field), sizeof ledger.sessions->field, \
			(uint64_t)(value)                                                    \
	}

struct wrong {
	uint32_t slot;
	size_t offset, size;
	uint64_t value;
};

/* Puts one word wrong, and validates. */
static void validate_with(const struct wrong *wrong)
{
	fill_all();
	memcpy((char *)&ledger.sessions[wrong->slot] + wrong->offset, &wrong->value, wrong->size);
	validate_ledger(&ledger, generation);
}

START_TEST(what_cannot_be_is_dropped_and_nothing_else)
{
	const struct wrong wrong[] = {
		WORD(RIGHT, state, 99),
		WORD(RIGHT, generation, 9),
		WORD(RIGHT, route, 77),
		WORD(RIGHT, target, 2),
		WORD(RIGHT, endpoint, 1),
		WORD(RIGHT, leg, 1),
		WORD(RIGHT, connect_leg, 3),
		WORD(RIGHT, front, 3),
		WORD(RIGHT, fd[0], -1),
		WORD(RIGHT, fd[1], -1),
		WORD(RIGHT, fd[0], -2),
		WORD(RIGHT, fd[0], 19999),
		WORD(RIGHT, fd[1], INT32_MAX),
		WORD(RIGHT, fd[1], spare_pipe[1]),
		WORD(RIGHT, fd[1], STDERR_FILENO),
		WORD(RIGHT, fd[1], ledger.fd),
		WORD(RIGHT, fd[1], sockets[KINDS][0]),
		WORD(RIGHT, direction[0].pipe, sockets[KINDS + 1][1]),
		WORD(RIGHT, stage[1], 19999),
		WORD(RIGHT, direction[0].flags, DIRECTION_FIN_SENT),
		WORD(RIGHT, front, FRONT_FED),
		WORD(FED, front, FRONT_ACCEPTED),
		WORD(FED, listener, 0),
		WORD(FED, listener, UINT32_MAX),
		WORD(DIALED, endpoint, 5),
		WORD(DIALED, fd[0], -1),
		WORD(CONNECTING, fd[0], -1),
		WORD(CONNECTING, state, SESSION_RELAYING),
	};

	for (uint32_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		uint64_t dropped = validate_sums(&ledger).sessions;

		validate_with(&wrong[i]);
		ck_assert_msg(ledger.sessions[wrong[i].slot].state == SESSION_FREE, "word %u", i);
		ck_assert_uint_eq(validate_sums(&ledger).sessions, dropped + 1);
		for (uint32_t slot = 0; slot < KINDS; slot++)
			ck_assert_msg(slot == wrong[i].slot ||
					      ledger.sessions[slot].state >= SESSION_CONNECTING,
				      "word %u: session %u", i, slot);
		ck_assert_uint_eq(ledger.listeners[0].state, LISTENER_OPEN);
	}
	ck_assert_uint_eq(validate_sums(&ledger).listeners + validate_sums(&ledger).controls, 0);
}
END_TEST

START_TEST(what_can_be_put_right_is_not_dropped)
{
	const struct wrong wrong[] = {
		WORD(RIGHT, thread, 9),
		WORD(RIGHT, opened, UINT64_MAX),
		WORD(RIGHT, active, UINT64_MAX),
		WORD(RIGHT, rounds, 255),
		WORD(RIGHT, chained, 200),
		WORD(RIGHT, direction[1].flags, 0xff00),
		WORD(CONNECTING, deadline, UINT64_MAX),
		WORD(CONNECTING, target, 9),
		WORD(DIALED, admitted, 0),
		WORD(DIALED, fronted, 0),
	};

	for (uint32_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		uint64_t mended = validate_sums(&ledger).mended;
		const struct ledger_session *record = &ledger.sessions[wrong[i].slot];

		validate_with(&wrong[i]);
		ck_assert_uint_ge(record->state, SESSION_CONNECTING);
		ck_assert_msg(memcmp((const char *)record + wrong[i].offset, &wrong[i].value,
				     wrong[i].size) != 0,
			      "word %u", i);
		ck_assert_uint_gt(validate_sums(&ledger).mended, mended);
		ck_assert_uint_eq(validate_sums(&ledger).sessions, 0);
	}
}
END_TEST

/* A session keeps its ticket, and its time, if they can be true. */
START_TEST(who_waits_for_a_place_waits_on)
{
	struct ledger_flow *flow = &ledger.flows[CONNECTING];
	uint64_t until = clock_monotonic() + NSEC_PER_SEC;

	flow->ticket = 7;
	flow->waits_until = until;
	validate_ledger(&ledger, generation);
	ck_assert(flow->ticket == 7 && flow->waits_until == until);
	ck_assert_uint_eq(validate_sums(&ledger).mended, 0);
	flow->ticket = flow->waits_until = UINT64_MAX;
	validate_ledger(&ledger, generation);
	ck_assert_uint_eq(flow->ticket, LEDGER_TICKET_MAX);
	ck_assert_uint_lt(flow->waits_until, until + 3600 * NSEC_PER_SEC);
	ck_assert_uint_eq(validate_sums(&ledger).mended, 2);
}
END_TEST

/* The heir asks again; what was known before, it knows. */
START_TEST(a_check_that_was_under_way_has_no_socket_any_more)
{
	struct ledger_check *check = &ledger.targets[0].check;
	uint64_t now = clock_monotonic();

	*check = (struct ledger_check){.digest = 1,
				       .state = CHECK_DOWN,
				       .fd = (uint32_t)sockets[0][0] + 1,
				       .failed = 2,
				       .checks = 5,
				       .since = now,
				       .ended_at = now,
				       .began_at = now,
				       .error = "refused"};
	validate_ledger(&ledger, generation);
	ck_assert_uint_eq(check->fd, 0);
	ck_assert_uint_eq(check->state, CHECK_DOWN);
	ck_assert_uint_eq(check->began_at, now);
	ck_assert_uint_eq(check->checks, 5);
	ck_assert_uint_eq(validate_sums(&ledger).mended, 0);
	check->state = CHECK_DOWN + 1;
	check->since = check->ended_at = check->began_at = UINT64_MAX;
	memset(check->error, 'x', sizeof check->error);
	validate_ledger(&ledger, generation);
	ck_assert_uint_eq(check->state, CHECK_NEW);
	ck_assert_uint_le(check->since, clock_monotonic());
	ck_assert_uint_le(check->ended_at, clock_monotonic());
	ck_assert_uint_le(check->began_at, clock_monotonic());
	ck_assert_uint_eq(strlen(check->error), sizeof check->error - 1);
	ck_assert_uint_eq(validate_sums(&ledger).mended, 4);
}
END_TEST

/* What an operator has done is believed, as far as it can be done. */
START_TEST(what_was_done_by_hand_stays_and_nothing_else)
{
	struct ledger_route *route = &ledger.routes[generation->route_slots[0]];
	struct ledger_target *target = &ledger.targets[generation->target_slots[0][0]];
	uint64_t mended;

	route->hand = LEDGER_HAND_DRAIN | LEDGER_HAND_HOLD;
	target->hand = LEDGER_HAND_DRAIN | LEDGER_HAND_DISABLE;
	target->weight_set = LEDGER_WEIGHT_MAX + 1;
	validate_ledger(&ledger, generation);
	mended = validate_sums(&ledger).mended;
	ck_assert_uint_eq(route->hand, LEDGER_HAND_DRAIN | LEDGER_HAND_HOLD);
	ck_assert_uint_eq(target->hand, LEDGER_HAND_DRAIN | LEDGER_HAND_DISABLE);
	ck_assert_uint_eq(target->weight_set, LEDGER_WEIGHT_MAX + 1);
	ck_assert_uint_eq(mended, 0);
	route->hand = UINT32_MAX;
	target->hand = LEDGER_HAND_HOLD | LEDGER_HAND_DISABLE;
	target->weight_set = LEDGER_WEIGHT_MAX + 2;
	validate_ledger(&ledger, generation);
	ck_assert_uint_eq(route->hand, LEDGER_HAND_DRAIN | LEDGER_HAND_HOLD);
	ck_assert_uint_eq(target->hand, LEDGER_HAND_DRAIN | LEDGER_HAND_DISABLE);
	ck_assert_uint_eq(target->weight_set, 0);
	ck_assert_uint_eq(validate_sums(&ledger).mended, mended + 3);
}
END_TEST

/* A connection that waits does so for a day at most. */
START_TEST(a_wait_ends)
{
	struct ledger_control *control = &ledger.controls[0];

	control->state = CONTROL_WAITING;
	control->until = UINT64_MAX;
	validate_ledger(&ledger, generation);
	ck_assert_uint_eq(control->state, CONTROL_WAITING);
	ck_assert_uint_le(control->until,
			  clock_monotonic() + LEDGER_WAIT_SECONDS_MAX * NSEC_PER_SEC);
	control->state = CONTROL_WAITING + 1;
	validate_ledger(&ledger, generation);
	ck_assert_uint_eq(control->state, CONTROL_FREE);
}
END_TEST

/* Between two attempts nobody can say for which target the leg was chosen. */
START_TEST(a_leg_of_the_attempt_before_is_no_fault)
{
	ledger.sessions[CONNECTING].connect_leg = 5;
	validate_ledger(&ledger, generation);
	ck_assert_uint_eq(ledger.sessions[CONNECTING].state, SESSION_CONNECTING);
	ck_assert_uint_eq(ledger.sessions[CONNECTING].connect_leg, 0);
	ck_assert_uint_eq(sum(), 0);
}
END_TEST

START_TEST(a_descriptor_of_two_belongs_to_neither)
{
	ledger.sessions[RIGHT].fd[1] = ledger.sessions[OTHER].fd[0];
	validate_ledger(&ledger, generation);
	ck_assert_uint_eq(ledger.sessions[RIGHT].state, SESSION_FREE);
	ck_assert_uint_eq(ledger.sessions[OTHER].state, SESSION_FREE);
	ck_assert_uint_eq(ledger.sessions[DIALED].state, SESSION_RELAYING);

	/* Nor does it where the other is wrong, or has lost its state. */
	for (uint32_t state = SESSION_FREE; state <= SESSION_ABORTING + 1; state++) {
		fill_all();
		ledger.sessions[RIGHT].fd[1] = ledger.sessions[OTHER].fd[0];
		ledger.sessions[OTHER].state = state;
		ledger.sessions[OTHER].route = 77;
		validate_ledger(&ledger, generation);
		ck_assert_uint_eq(ledger.sessions[RIGHT].state, SESSION_FREE);
	}
}
END_TEST

/* Places of sockets in session records: side by side, slot by slot. */
enum { ENDS = 2 * KINDS };

static int32_t *end_at(uint32_t i)
{
	return &ledger.sessions[i / 2].fd[i % 2];
}

static void note_cookies(void)
{
	for (uint32_t i = 0; i < ENDS; i++)
		ledger.cookies[i / 2].fd[i % 2] = *end_at(i) < 0 ? 0 : socket_cookie(*end_at(i));
}

/* After the first has named what is the second's, and the second what is the first's if they were
 * exchanged. */
static void check_ends(uint32_t one, uint32_t other, bool exchanged)
{
	for (uint32_t slot = 0; slot < KINDS; slot++) {
		const struct ledger_session *record = &ledger.sessions[slot];
		bool wrong = slot == one / 2 || (exchanged && slot == other / 2);

		ck_assert_msg((record->state == SESSION_FREE) == wrong, "%u and %u: session %u",
			      one, other, slot);
		for (int side = 0; !wrong && side < 2; side++)
			ck_assert(record->fd[side] < 0 ||
				  ledger.cookies[slot].fd[side] == socket_cookie(record->fd[side]));
	}
}

START_TEST(no_session_has_the_socket_of_another)
{
	for (uint32_t i = 0; i < 2 * ENDS * ENDS; i++) {
		uint32_t one = i / ENDS % ENDS, other = i % ENDS;
		bool exchanged = i >= ENDS * ENDS;
		int32_t before;

		fill_all();
		note_cookies();
		before = *end_at(one);
		if (one == other || before < 0 || *end_at(other) < 0)
			continue;
		*end_at(one) = *end_at(other);
		if (exchanged)
			*end_at(other) = before;
		validate_ledger(&ledger, generation);
		check_ends(one, other, exchanged);
	}
}
END_TEST

static int count_owner(int32_t *fd, void *owners)
{
	return ((uint8_t *)owners)[*fd]++;
}

/* The same number in each two places of descriptors, with originals and without. */
START_TEST(each_descriptor_has_one_owner)
{
	struct ledger_session *one = &ledger.sessions[RIGHT], *other = &ledger.sessions[OTHER];
	int32_t *const places[] = {one->fd,
				   &one->fd[1],
				   &one->direction[0].pipe,
				   one->stage,
				   &one->direction[1].pipe,
				   &one->stage[1],
				   other->fd,
				   &other->direction[1].pipe,
				   other->stage,
				   ledger.sessions[DIALED].fd,
				   ledger.sessions[CONNECTING].fd,
				   &ledger.controls[0].fd,
				   ledger.listeners[0].fds,
				   &ledger.listeners[0].fds[1],
				   ledger.listeners[1].fds,
				   &ledger.generations[0].fd,
				   ledger.keeper->fds,
				   &ledger.keeper->control_fd};
	enum { PLACES = sizeof places / sizeof *places, KEEPERS = 3 };

	for (uint32_t i = 0, n = PLACES; i < 2 * PLACES * PLACES; i++) {
		int32_t *to = places[i / PLACES % PLACES], *from = places[i % PLACES];
		uint8_t owners[1 << 16] = {0};

		if (i == PLACES * PLACES) {
			original_free(&ledger);
			n -= KEEPERS; /* these are the keeper's own memory then */
		}
		fill_all();
		ledger.listeners[0].n_fds = ledger.original ? 1 : 2;
		ledger.listeners[0].fds[1] = ledger.original ? 0 : sockets[FED][0];
		if (*from < 0 || i / PLACES % PLACES >= n)
			continue;
		*to = *from;
		original_restore_all(&ledger);
		validate_ledger(&ledger, generation);
		ck_assert_msg(!manifest_visit(&ledger, count_owner, owners), "pair %u", i);
		ck_assert(ledger.keeper->fds[0] < 0 || !owners[ledger.keeper->fds[0]]);
	}
}
END_TEST

START_TEST(how_far_the_table_is_used_it_says_itself)
{
	const uint32_t wrong[] = {0, 3, SESSIONS, 1 << 30, UINT32_MAX};

	for (uint32_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		ledger.keeper->sessions_high = wrong[i];
		validate_ledger(&ledger, generation);
		ck_assert_uint_eq(ledger.keeper->sessions_high, KINDS);
	}
	ck_assert_uint_eq(validate_sums(&ledger).sessions, 0);
}
END_TEST

/* Every word of a listener, of the keeper's section and of the header. */
START_TEST(what_the_keeper_has_written_is_put_back)
{
	struct ledger_listener listener = ledger.listeners[0];
	struct ledger_header header = *ledger.header;
	uint32_t *word;

	for (size_t at = 0; at < sizeof listener / sizeof *word; at++) {
		word = (uint32_t *)&ledger.listeners[0] + at;
		*word ^= 0x5a5a5a5a;
		original_restore_all(&ledger);
		ck_assert_uint_eq(ledger.listeners[0].state, LISTENER_OPEN);
		ck_assert_int_eq(ledger.listeners[0].fds[0], listener.fds[0]);
		ck_assert_uint_eq(ledger.listeners[0].paused, PAUSE_NONE);
		ck_assert_int_eq(memcmp(&ledger.listeners[0].n_fds, &listener.n_fds,
					offsetof(struct ledger_listener, paused) -
						offsetof(struct ledger_listener, n_fds)),
				 0);
	}
	for (size_t at = 0; at < sizeof header / sizeof *word; at++) {
		((uint32_t *)ledger.header)[at] ^= 0x5a5a5a5a;
		original_restore(&ledger);
		ck_assert_mem_eq(ledger.header, &header, sizeof header);
	}
	ledger.keeper->fds[3] = 9;
	ledger.keeper->generation = 6;
	ledger.keeper->listeners_high = UINT32_MAX;
	ledger.generations[0].fd = 3;
	memset(ledger.keeper->control_path, 'x', sizeof ledger.keeper->control_path);
	original_restore(&ledger);
	ck_assert_int_eq(ledger.keeper->fds[3], -1);
	ck_assert_uint_eq(ledger.keeper->generation, 0);
	ck_assert_uint_eq(ledger_listeners_high(&ledger), 2);
	ck_assert_int_eq(ledger.generations[0].fd, generation->fd);
	ck_assert_str_eq(ledger.keeper->control_path, "");
}
END_TEST

/* So does what is told of all this: it rises, and by no leaps. */
START_TEST(what_was_counted_is_put_back)
{
	struct ledger_keeper *keeper = ledger.keeper;

	keeper->dropped_sessions = 7;
	keeper->dropped_listeners = 2;
	original_restore(&ledger);
	ck_assert_uint_eq(sum(), 9);
	keeper->dropped_sessions = UINT64_C(1) << 40;
	keeper->dropped_listeners = 1;
	keeper->dropped_controls = UINT64_MAX;
	original_restore(&ledger);
	ck_assert_uint_eq(keeper->dropped_sessions, 7);
	ck_assert_uint_eq(keeper->dropped_listeners, 2);
	ck_assert_uint_eq(keeper->dropped_controls, 0);
	ck_assert_uint_eq(keeper->mended, 3);
	keeper->mended = UINT64_MAX;
	original_restore(&ledger);
	ck_assert_uint_eq(keeper->mended, 4);
}
END_TEST

START_TEST(a_route_is_paused_by_the_keeper_alone)
{
	struct ledger_route *route = &ledger.routes[generation->route_slots[0]];
	char name[LEDGER_NAME_MAX];

	memcpy(name, route->name, sizeof name);
	route->paused = ROUTE_CLOSED;
	route->used = 0;
	route->digest = 5;
	route->name[0] = 'x';
	original_restore_all(&ledger);
	ck_assert_uint_eq(route->paused, ROUTE_RUNS);
	ck_assert_uint_eq(route->used, 1);
	ck_assert_str_eq(route->name, name);
	ck_assert_uint_eq(ledger_route_slot(&ledger, name), generation->route_slots[0]);
}
END_TEST

START_TEST(what_an_heir_died_of_before_it_had_threads_is_dropped)
{
	ledger.keeper->worker_state = WORKER_SWEEPING;
	ledger_hold_adopted(&ledger, HAND_SESSION, OTHER);
	ck_assert(blame_hands(&ledger, generation, &families, false));
	ck_assert_uint_eq(ledger.sessions[OTHER].state, SESSION_FREE);
	ck_assert_uint_eq(ledger.sessions[RIGHT].state, SESSION_RELAYING);
	/* Nothing, and no record at all. */
	ledger_hold_adopted(&ledger, HAND_EMPTY, 3);
	ck_assert(!blame_hands(&ledger, generation, &families, false));
	ledger_hold_adopted(&ledger, HAND_SESSION, UINT32_MAX);
	ck_assert(!blame_hands(&ledger, generation, &families, false));
	ledger_hold_adopted(&ledger, HAND_LISTENER, UINT32_MAX);
	ck_assert(!blame_hands(&ledger, generation, &families, false));
	ledger_hold_adopted(&ledger, (enum ledger_hand)77, 0);
	ck_assert(!blame_hands(&ledger, generation, &families, false));
}
END_TEST

static void check_session(const struct ledger_session *record, const struct ledger_flow *flow)
{
	const struct config_route *route =
		generation_route(generation, record->generation, record->route);

	if (record->state != SESSION_CONNECTING && record->state != SESSION_RELAYING)
		return;
	ck_assert_ptr_nonnull(route);
	ck_assert_ptr_nonnull(generation_leg(generation, record, 0));
	ck_assert_ptr_nonnull(generation_leg(generation, record, 1));
	ck_assert_uint_lt(record->thread, ledger.n_threads);
	ck_assert_uint_le(flow->peer_len, LEDGER_PEER_MAX);
	ck_assert_uint_le(flow->reply_len, LEDGER_REPLY_MAX);
	ck_assert_uint_le(flow->format_now, 1);
	ck_assert_uint_le(flow->kept, LEDGER_KEPT_MAX);
	for (int d = 0; d < 2; d++) {
		ck_assert_uint_le(flow->held[d], record->direction[d].pipe < 0 ? 0 : 1 << 20);
		ck_assert(flow->step[d] == HELD_RESTS ||
			  (flow->step[d] <= HELD_SENT && flow->after[d] <= 1 << 20));
	}
	ck_assert_uint_le(flow->far_len, LEDGER_FAR_MAX);
	ck_assert(record->state != SESSION_CONNECTING ||
		  (flow->ticket <= LEDGER_TICKET_MAX &&
		   flow->waits_until <= clock_monotonic() + route->connect_timeout));
	ck_assert_uint_le(record->active, clock_monotonic());
	ck_assert(record->front != FRONT_FED || record->listener < ledger_listeners_high(&ledger));
	for (int k = 0; k < 2; k++) {
		ck_assert(record->fd[k] == -1 || fcntl(record->fd[k], F_GETFD) >= 0);
		ck_assert(record->direction[k].pipe == -1 ||
			  fcntl(record->direction[k].pipe, F_GETPIPE_SZ) > 0);
	}
}

static void check_thread(const struct ledger_thread *record)
{
	ck_assert_uint_le(record->batch, BATCH_SENT);
	ck_assert_uint_le(record->batch_size, LEDGER_BATCH_MAX);
	ck_assert_uint_lt(record->batch_route, LEDGER_ROUTES_MAX);
	ck_assert_uint_le(record->batch_direction, 1);
}

static uint32_t draw_word(uint32_t before)
{
	switch (rand() % 4) {
	case 0:
		return (uint32_t)rand() % 64;
	case 1:
		return before ^ 1u << rand() % 32;
	case 2:
		return UINT32_MAX - (uint32_t)rand() % 2;
	}
	return (uint32_t)rand() << 1 ^ (uint32_t)rand();
}

/* Words anywhere in what is used of each section; seed 1, as rand(3) has it. */
static void scribble(void)
{
	static const uint32_t used[LEDGER_SECTIONS] = {1, 3,  KINDS + 2, 3, 4, 6, 4,
						       2, 64, KINDS + 2, 2, 2, 2, KINDS};

	for (int i = rand() % 6; i >= 0; i--) {
		enum ledger_section_id id = (enum ledger_section_id)(rand() % LEDGER_SECTIONS);
		const struct ledger_section *section = &ledger.header->sections[id];
		size_t bytes = (size_t)section->stride * used[id],
		       at = ((size_t)rand() % bytes) & ~(size_t)3;
		uint32_t *word = (uint32_t *)(void *)((char *)ledger.header + section->offset + at);

		*word = draw_word(*word);
	}
}

START_TEST(whatever_is_written_nothing_is_believed_that_is_not_there)
{
	srand(1);
	for (int round = 0; round < RANDOM_ROUNDS; round++) {
		fill_all();
		note_cookies();
		scribble();
		original_restore_all(&ledger);
		blame_hands(&ledger, generation, &families, round % 2);
		validate_ledger(&ledger, generation);
		ck_assert_uint_eq(ledger_listeners_high(&ledger), 2);
		for (uint32_t i = 0; i < 2; i++)
			ck_assert_uint_eq(ledger.listeners[i].state, LISTENER_OPEN);
		for (uint32_t i = 0; i < ledger_sessions_high(&ledger); i++)
			check_session(&ledger.sessions[i], &ledger.flows[i]);
		for (uint32_t i = 0; i <= ledger.n_threads; i++)
			check_thread(&ledger.threads[i]);
		for (uint32_t i = 0; i < ledger_targets_high(&ledger); i++) {
			ck_assert_uint_le(ledger.targets[i].n_addresses, LEDGER_ADDRESSES_MAX);
			ck_assert_uint_le(ledger.targets[i].failed_at, clock_monotonic());
			ck_assert_uint_le(ledger.targets[i].asked_until,
					  clock_monotonic() + 60 * NSEC_PER_SEC);
			ck_assert_uint_le(ledger.targets[i].check.state, CHECK_DOWN);
			ck_assert_uint_eq(ledger.targets[i].check.fd, 0);
		}
		for (int i = 0; i < LEDGER_UNITS_MAX; i++) {
			ck_assert(!ledger.units[i].used || ledger.units[i].state <= UNIT_REFUSED);
			ck_assert(!ledger.units[i].used || ledger.units[i].problem < UNIT_PROBLEMS);
		}
	}
}
END_TEST

/* Whether malloc(3) maps a block of this size; another allocator than glibc's does not
 * tell. Freed it is not: that changes the answer. */
static bool is_mapped(size_t size, void *volatile *ret)
{
	size_t before = mallinfo2().hblks;

	*ret = malloc(size);
	return mallinfo2().hblks > before;
}

/* Else each start would clear what it only asked for: pages that nobody uses. */
START_TEST(how_memory_is_given_is_the_same_after_as_before)
{
	enum { LARGE = 512 << 10 };
	void *volatile blocks[2];
	bool before = is_mapped(LARGE, &blocks[0]);

	original_restore_all(&ledger);
	validate_ledger(&ledger, generation);
	ck_assert_int_eq(is_mapped(LARGE, &blocks[1]), before);
	free(blocks[0]);
	free(blocks[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("validate");
	TCase *tcase = tcase_create("validate");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, what_is_right_stays_as_it_is);
	tcase_add_test(tcase, what_cannot_be_is_dropped_and_nothing_else);
	tcase_add_test(tcase, what_can_be_put_right_is_not_dropped);
	tcase_add_test(tcase, who_waits_for_a_place_waits_on);
	tcase_add_test(tcase, a_check_that_was_under_way_has_no_socket_any_more);
	tcase_add_test(tcase, what_was_done_by_hand_stays_and_nothing_else);
	tcase_add_test(tcase, a_wait_ends);
	tcase_add_test(tcase, a_leg_of_the_attempt_before_is_no_fault);
	tcase_add_test(tcase, a_descriptor_of_two_belongs_to_neither);
	tcase_add_test(tcase, no_session_has_the_socket_of_another);
	tcase_add_test(tcase, each_descriptor_has_one_owner);
	tcase_add_test(tcase, how_far_the_table_is_used_it_says_itself);
	tcase_add_test(tcase, what_the_keeper_has_written_is_put_back);
	tcase_add_test(tcase, what_was_counted_is_put_back);
	tcase_add_test(tcase, a_route_is_paused_by_the_keeper_alone);
	tcase_add_test(tcase, what_an_heir_died_of_before_it_had_threads_is_dropped);
	tcase_add_test(tcase, how_memory_is_given_is_the_same_after_as_before);
	tcase_add_test(tcase, whatever_is_written_nothing_is_believed_that_is_not_there);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
