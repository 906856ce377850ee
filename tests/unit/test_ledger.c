/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ledger: sections do not overlap, slots are found by name, another process sees what one
 * wrote; and the audit, on real connections, finds what is missing. */
#include "ledger/audit.h"
#include "ledger/ledger.h"
#include "suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct ledger ledger;

static void open_ledger(void)
{
	ck_assert_int_eq(ledger_init(&ledger, 2, 100), 0);
}

static void close_ledger(void)
{
	ledger_done(&ledger);
}

START_TEST(sections_do_not_overlap)
{
	uint64_t end = sizeof *ledger.header;

	ck_assert_str_eq(ledger.header->magic, "SPLICED");
	for (int i = 0; i < LEDGER_SECTIONS; i++) {
		const struct ledger_section *section = &ledger.header->sections[i];

		ck_assert_uint_eq(section->id, i);
		ck_assert_uint_ge(section->offset, end);
		end = section->offset + (uint64_t)section->stride * section->count;
	}
	ck_assert_uint_le(end, ledger.header->size);
}
END_TEST

START_TEST(slots_go_by_name)
{
	static bool keep[LEDGER_ROUTES_MAX];
	char name[32];
	int first = ledger_route_slot(&ledger, "web"), second = ledger_route_slot(&ledger, "mail");

	ck_assert_int_ne(first, second);
	ck_assert_int_eq(ledger_route_slot(&ledger, "web"), first);
	ledger_count(&ledger_counter(&ledger, 1, (uint32_t)second)->sessions, 7);
	keep[first] = true;
	ledger_routes_retain(&ledger, keep);
	ck_assert_int_eq(ledger_route_slot(&ledger, "other"), second);
	ck_assert_uint_eq(ledger_counter(&ledger, 1, (uint32_t)second)->sessions, 0);
	for (int i = 2; i < 2000; i++) {
		snprintf(name, sizeof name, "route%d", i);
		ck_assert_int_ge(ledger_route_slot(&ledger, name), 0);
	}
	for (int i = 2000; i < LEDGER_ROUTES_MAX; i++)
		ledger.routes[i] = (struct ledger_route){.used = 1, .digest = (uint64_t)i};
	ledger.keeper->routes_high = LEDGER_ROUTES_MAX;
	ck_assert_int_lt(ledger_route_slot(&ledger, "one-too-many"), 0);
	ck_assert_int_eq(ledger_route_slot(&ledger, "web"), first);
}
END_TEST

START_TEST(names_are_told_apart_to_their_last_byte)
{
	char one[400], other[400];

	memset(one, 'x', sizeof one);
	one[sizeof one - 1] = '\0';
	memcpy(other, one, sizeof one);
	other[sizeof other - 2] = 'y';
	ck_assert_int_ne(ledger_route_slot(&ledger, one), ledger_route_slot(&ledger, other));
	ck_assert_int_ne(ledger_target_slot(&ledger, one), ledger_target_slot(&ledger, other));
	ck_assert_int_eq(ledger_target_slot(&ledger, one), 0);
}
END_TEST

START_TEST(keeper_fds_are_bounded)
{
	for (int i = 0; i < LEDGER_KEEPER_FDS; i++)
		ck_assert_int_eq(ledger_keep_fd(&ledger, 1000 + i), 0);
	ck_assert_int_lt(ledger_keep_fd(&ledger, 5), 0);
	ledger_forget_fd(&ledger, 1003);
	ck_assert_int_eq(ledger_keep_fd(&ledger, 5), 0);
}
END_TEST

START_TEST(another_process_sees_it)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		ledger_hold(&ledger.threads[1], HAND_SESSION, 42);
		atomic_store(&ledger.sessions[99].state, SESSION_RELAYING);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_uint_eq(ledger.threads[1].hand, (uint64_t)HAND_SESSION << 32 | 42);
	ck_assert_uint_eq(ledger.sessions[99].state, SESSION_RELAYING);
}
END_TEST

START_TEST(nobody_takes_it_away)
{
	struct stat status;

	ck_assert_int_eq(fstat(ledger.fd, &status), 0);
	ck_assert_int_lt(ftruncate(ledger.fd, 0), 0);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_lt(ftruncate(ledger.fd, status.st_size * 2), 0);
	ck_assert_int_lt(fcntl(ledger.fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	ledger.keeper->reload_asked = 7;
}
END_TEST

/* Two real TCP connections, client--[0] and [1]--server, as a session holds them. */
struct pair {
	int client, server;
	struct ledger_session record;
};

static void make_session(struct pair *pair)
{
	memset(pair, 0, sizeof *pair);
	suite_connect(&pair->client, &pair->record.fd[0]);
	suite_connect(&pair->record.fd[1], &pair->server);
	pair->record.direction[0].pipe = -1;
	pair->record.direction[1].pipe = -1;
}

static void end_session(struct pair *pair)
{
	close(pair->client);
	close(pair->server);
	close(pair->record.fd[0]);
	close(pair->record.fd[1]);
}

/* Waits until so many bytes lie in the socket. */
static void await(int fd, size_t bytes)
{
	char buffer[4096];

	while (recv(fd, buffer, sizeof buffer, MSG_PEEK) < (ssize_t)bytes)
		poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 1000);
}

static enum audit_result audit(struct pair *pair, int64_t *missing)
{
	return audit_session(&pair->record, missing);
}

START_TEST(audit_finds_what_is_missing)
{
	struct pair pair;
	int64_t missing;
	char buffer[100];

	make_session(&pair);
	ck_assert_int_eq(audit(&pair, &missing), AUDIT_RIGHT);
	ck_assert_int_eq(write(pair.client, "0123456789", 10), 10);
	await(pair.record.fd[0], 10);
	ck_assert_int_eq(audit(&pair, &missing), AUDIT_RIGHT);
	/* Taken out and kept: ten bytes are nowhere. */
	ck_assert_int_eq(read(pair.record.fd[0], buffer, sizeof buffer), 10);
	ck_assert_int_eq(audit(&pair, &missing), AUDIT_WRONG);
	ck_assert_int_eq(missing, 10);
	/* Put where they belong, whether the peer has read them or not. */
	ck_assert_int_eq(write(pair.record.fd[1], buffer, 10), 10);
	ck_assert_int_eq(audit(&pair, &missing), AUDIT_RIGHT);
	await(pair.server, 10);
	ck_assert_int_eq(audit(&pair, &missing), AUDIT_RIGHT);
	/* Put there twice. */
	ck_assert_int_eq(write(pair.record.fd[1], buffer, 4), 4);
	ck_assert_int_eq(audit(&pair, &missing), AUDIT_WRONG);
	ck_assert_int_eq(missing, -4);
	end_session(&pair);
}
END_TEST

START_TEST(audit_counts_the_pipe)
{
	struct pair pair;
	int64_t missing;
	int ends[2];
	char buffer[100];

	make_session(&pair);
	ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
	ck_assert_int_eq(write(pair.server, "abcdef", 6), 6);
	await(pair.record.fd[1], 6);
	ck_assert_int_eq(read(pair.record.fd[1], buffer, 6), 6);
	ck_assert_int_eq(write(ends[1], buffer, 6), 6);
	ck_assert_int_eq(audit(&pair, &missing), AUDIT_WRONG);
	pair.record.direction[1].pipe = ends[0];
	ck_assert_int_eq(audit(&pair, &missing), AUDIT_RIGHT);
	close(ends[0]);
	close(ends[1]);
	end_session(&pair);
}
END_TEST

START_TEST(audit_says_when_it_cannot_tell)
{
	struct pair pair;
	int64_t missing;

	make_session(&pair);
	shutdown(pair.client, SHUT_WR);
	poll(&(struct pollfd){.fd = pair.record.fd[0], .events = POLLIN}, 1, 1000);
	ck_assert_int_eq(audit(&pair, &missing), AUDIT_UNKNOWN);
	end_session(&pair);
}
END_TEST

/* What this ledger would be in a release whose records of every section were longer by so many
 * bytes, or shorter, and which did not have the last section: a memfd. */
static int make_other(const struct ledger *now, int more)
{
	struct ledger_header header = *now->header;
	int fd = memfd_create("other", MFD_CLOEXEC);
	uint64_t offset = 4096;

	ck_assert_int_ge(fd, 0);
	header.n_sections--;
	for (uint32_t id = 0; id < header.n_sections; id++) {
		struct ledger_section *section = &header.sections[id];
		const char *from = (const char *)now->header + section->offset;
		uint32_t before = section->stride;

		if (id != LEDGER_TEXT && (int)section->stride + more > 0)
			section->stride += (uint32_t)more;
		section->offset = offset;
		/* The rest is zero. */
		for (uint32_t i = 0; i < section->count; i++)
			if (i % LEDGER_ROUTES_MAX < 64 || id == LEDGER_TEXT)
				ck_assert_int_gt(
					pwrite(fd, from + (size_t)i * before,
					       before < section->stride ? before : section->stride,
					       (off_t)(offset + (uint64_t)i * section->stride)),
					0);
		offset += (uint64_t)section->count * section->stride;
		offset = (offset + 4095) / 4096 * 4096;
	}
	header.size = offset;
	ck_assert_int_eq(ftruncate(fd, (off_t)offset), 0);
	ck_assert_int_eq(pwrite(fd, &header, sizeof header, 0), sizeof header);
	return fd;
}

static void inherit_across(int more)
{
	struct ledger old, heir;
	int slot = ledger_route_slot(&ledger, "web");

	ledger.keeper->sessions_high = 60;
	ledger.keeper->reload_asked = 9;
	for (uint32_t i = 0; i < 60; i++) {
		ledger.sessions[i].state = SESSION_RELAYING;
		ledger.sessions[i].thread = (uint16_t)(i % 2);
		ledger.sessions[i].fd[1] = 1000 + (int)i;
		ledger.flows[i].messages[0] = i;
	}
	ledger_count(&ledger_counter(&ledger, 0, (uint32_t)slot)->sessions, 7);
	ledger_count(&ledger_counter(&ledger, 1, (uint32_t)slot)->sessions, 8);
	ledger_count(&ledger_counter(&ledger, 2, (uint32_t)slot)->sessions, 9); /* the clerk's */
	ledger.listeners[3].state = LISTENER_OPEN;
	ledger.listeners[3].n_fds = 2;
	ledger.listeners[3].fds[1] = 77;
	ledger.keeper->listeners_high = 4;
	ck_assert_int_eq(ledger_open(&old, make_other(&ledger, more)), 0);

	/* Fewer threads, and more sessions. */
	ck_assert_int_eq(ledger_init(&heir, 1, 500), 0);
	ledger_keep_fd(&heir, 5);
	ck_assert_int_eq(ledger_inherit(&heir, &old), 0);
	ck_assert_uint_eq(heir.keeper->reload_asked, 9);
	ck_assert_int_eq(heir.keeper->fds[0], 5);
	ck_assert_uint_eq(heir.keeper->threads, 1);
	for (uint32_t i = 0; i < 60; i++) {
		ck_assert_int_eq(heir.sessions[i].fd[1], 1000 + (int)i);
		ck_assert_uint_eq(heir.sessions[i].thread, 0);
		ck_assert_uint_eq(heir.flows[i].messages[0], i);
	}
	ck_assert_uint_eq(heir.sessions[60].state, SESSION_FREE);
	ck_assert_int_eq(ledger_route_slot(&heir, "web"), slot);
	ck_assert_uint_eq(ledger_counter(&heir, 0, (uint32_t)slot)->sessions, 15);
	ck_assert_uint_eq(ledger_counter(&heir, 1, (uint32_t)slot)->sessions, 9);
	ck_assert_int_eq(heir.listeners[3].fds[1], 77);
	ledger_done(&heir);

	/* Fewer sessions than there are. */
	ck_assert_int_eq(ledger_init(&heir, 4, 50), 0);
	ck_assert_int_eq(ledger_inherit(&heir, &old), -ENOSPC);
	ledger_done(&heir);
	ledger_done(&old);
}

START_TEST(a_release_inherits_from_one_with_shorter_records)
{
	inherit_across(-8);
}
END_TEST

START_TEST(a_release_inherits_from_one_with_longer_records)
{
	inherit_across(24);
}
END_TEST

START_TEST(a_ledger_inherits_from_one_like_itself)
{
	inherit_across(0);
}
END_TEST

/* The ledger that 0.2.0 had while it ran six routes: a relaying stream, frames to UDP, a datagram
 * session, a feed, and a dial whose seven targets were down; its worker was killed once, and it was
 * reloaded once. */
static int open_fixture(void)
{
	char command[4096], bytes[65536];
	const char *top = getenv("TOP_SRCDIR");
	int fd = memfd_create("fixture", MFD_CLOEXEC);
	FILE *file;
	size_t n;

	snprintf(command, sizeof command, "xz -dc '%s/tests/unit/ledger-0.2.0.xz'",
		 top ? top : ".");
	file = popen(command, "r");
	ck_assert_ptr_nonnull(file);
	while ((n = fread(bytes, 1, sizeof bytes, file)) > 0)
		ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	ck_assert_int_eq(pclose(file), 0);
	return fd;
}

static uint64_t count_of(const struct ledger *from, int route, size_t offset)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i <= from->n_threads; i++)
		sum += *(const uint64_t *)((const char *)ledger_counter(from, i, (uint32_t)route) +
					   offset);
	return sum;
}

static void check_fixture(struct ledger *now)
{
	static const struct {
		uint32_t front, state, generation, attempts;
		uint64_t bytes[2];
	} sessions[] = {
		{FRONT_DIALED, SESSION_CONNECTING, 2, 21, {0, 0}},
		{FRONT_FED, SESSION_RELAYING, 2, 0, {0, 0}},
		{FRONT_ACCEPTED, SESSION_RELAYING, 1, 0, {5, 7}},
		{FRONT_FED, SESSION_RELAYING, 2, 0, {4, 5}},
		{FRONT_ACCEPTED, SESSION_RELAYING, 1, 0, {3, 0}},
	};
	int stream = ledger_route_slot(now, "stream"), pool = ledger_route_slot(now, "pool");
	const struct ledger_target *back;
	uint32_t down = 0;

	ck_assert_uint_eq(now->keeper->generation, 2);
	ck_assert_uint_eq(now->keeper->routes_high, 7);
	ck_assert_uint_eq(now->keeper->starts[START_CRASH], 1);
	for (uint32_t i = 0; i < sizeof sessions / sizeof *sessions; i++) {
		const struct ledger_session *record = &now->sessions[i];

		ck_assert_uint_eq(record->front, sessions[i].front);
		ck_assert_uint_eq(record->state, sessions[i].state);
		ck_assert_uint_eq(record->generation, sessions[i].generation);
		ck_assert_uint_eq(record->attempts, sessions[i].attempts);
		ck_assert_uint_eq(record->serial, i == 4 ? 2 : 1);
		ck_assert_uint_eq(record->listener, i == 1 ? 3 : i == 3 ? 2 : 0);
		for (int k = 0; k < 2; k++) {
			ck_assert_uint_eq(record->direction[k].bytes, sessions[i].bytes[k]);
			ck_assert_int_eq(record->direction[k].pipe, -1);
			ck_assert_int_eq(record->stage[k], -1);
		}
		ck_assert_int_eq(record->fd[0] >= 0, record->front != FRONT_FED);
		ck_assert_int_eq(record->fd[1] >= 0, record->state == SESSION_RELAYING);
	}
	ck_assert_uint_eq(now->flows[3].messages[0], 1);
	ck_assert_uint_eq(now->listeners[0].n_fds, 2);
	ck_assert_int_ge(now->listeners[0].fds[1], 0);
	ck_assert_uint_eq(count_of(now, stream, offsetof(struct ledger_counter, sessions)), 1);
	ck_assert_uint_eq(count_of(now, pool, offsetof(struct ledger_counter, connect_errors)), 21);
	back = &now->targets[ledger_target_slot(now, "stream/back")];
	ck_assert_uint_eq(back->failures, 0);
	for (uint32_t i = 0; i < now->keeper->targets_high; i++)
		down += now->targets[i].failures == 3;
	ck_assert_uint_eq(down, 7);
}

START_TEST(the_ledger_of_0_2_0_is_understood)
{
	struct ledger old, heir;

	ck_assert_int_eq(ledger_open(&old, open_fixture()), 0);
	check_fixture(&old);
	ck_assert_int_eq(ledger_init(&heir, 3, 9000), 0);
	ck_assert_int_eq(ledger_inherit(&heir, &old), 0);
	check_fixture(&heir);
	ledger_done(&heir);
	ledger_done(&old);
}
END_TEST

/* Whatever its header says, nothing is read beyond what is there. */
START_TEST(a_ledger_of_0_2_0_with_wrong_counts_is_refused)
{
	static const struct {
		size_t at;
		uint32_t value;
	} wrong[] = {
		{offsetof(struct ledger_header, sections[LEDGER_SESSIONS].stride), UINT32_MAX},
		{offsetof(struct ledger_header, sections[LEDGER_SESSIONS].count), 3},
		{offsetof(struct ledger_header, sections[LEDGER_LISTENERS].count), 1},
		{offsetof(struct ledger_header, sections[LEDGER_THREADS].count), 0},
		{offsetof(struct ledger_header, sections[LEDGER_ROUTES].version), 7},
		{offsetof(struct ledger_header, sections[LEDGER_COUNTERS].count), 5},
		{offsetof(struct ledger_header, sections[LEDGER_KEEPER].offset), 3},
		{offsetof(struct ledger_header, n_sections), 4},
	};
	struct ledger old;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		int fd = open_fixture();

		ck_assert_int_eq(
			pwrite(fd, &wrong[i].value, sizeof wrong[i].value, (off_t)wrong[i].at), 4);
		ck_assert_int_eq(ledger_open(&old, fd), -EPROTO);
		close(fd);
	}
}
END_TEST

/* How far its tables are in use, they say themselves. */
START_TEST(a_ledger_of_0_2_0_with_wrong_marks_is_understood)
{
	static const struct {
		size_t at;
		uint32_t value;
	} wrong[] = {
		{4096 + offsetof(struct ledger_keeper, sessions_high), 100000},
		{4096 + offsetof(struct ledger_keeper, sessions_high), 0},
		{4096 + offsetof(struct ledger_keeper, listeners_high), 100000},
		{4096 + offsetof(struct ledger_keeper, listeners_high), 1},
	};
	struct ledger old;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		int fd = open_fixture();

		ck_assert_int_eq(
			pwrite(fd, &wrong[i].value, sizeof wrong[i].value, (off_t)wrong[i].at), 4);
		ck_assert_int_eq(ledger_open(&old, fd), 0);
		check_fixture(&old);
		ck_assert_uint_eq(ledger_listeners_high(&old), 5);
		ledger_done(&old);
	}
}
END_TEST

START_TEST(what_is_no_ledger_is_refused)
{
	struct ledger old;
	struct ledger_header wrong = *ledger.header;
	uint32_t later = LEDGER_VERSION + 1;
	int fd = memfd_create("none", MFD_CLOEXEC);

	ck_assert_int_eq(ledger_open(&old, fd), -EPROTO);
	ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
	ck_assert_int_eq(ledger_open(&old, fd), -EPROTO);
	wrong.size = 1 << 20;
	ck_assert_int_eq(pwrite(fd, &wrong, sizeof wrong, 0), sizeof wrong);
	ck_assert_int_eq(ledger_open(&old, fd), -EPROTO); /* its sections are not in it */
	close(fd);
	fd = make_other(&ledger, -8);
	ck_assert_int_eq(pwrite(fd, &later, sizeof later, offsetof(struct ledger_header, version)),
			 sizeof later);
	ck_assert_int_eq(ledger_open(&old, fd), -EPROTO);
	later = LEDGER_VERSION;
	ck_assert_int_eq(pwrite(fd, &later, sizeof later, offsetof(struct ledger_header, version)),
			 sizeof later);
	ck_assert_int_eq(ledger_open(&old, fd), 0);
	ledger_done(&old);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ledger");
	TCase *tcase = tcase_create("ledger");

	tcase_add_checked_fixture(tcase, open_ledger, close_ledger);
	tcase_add_test(tcase, sections_do_not_overlap);
	tcase_add_test(tcase, slots_go_by_name);
	tcase_add_test(tcase, names_are_told_apart_to_their_last_byte);
	tcase_add_test(tcase, keeper_fds_are_bounded);
	tcase_add_test(tcase, another_process_sees_it);
	tcase_add_test(tcase, nobody_takes_it_away);
	tcase_add_test(tcase, audit_finds_what_is_missing);
	tcase_add_test(tcase, audit_counts_the_pipe);
	tcase_add_test(tcase, audit_says_when_it_cannot_tell);
	tcase_add_test(tcase, a_release_inherits_from_one_with_shorter_records);
	tcase_add_test(tcase, a_release_inherits_from_one_with_longer_records);
	tcase_add_test(tcase, a_ledger_inherits_from_one_like_itself);
	tcase_add_test(tcase, the_ledger_of_0_2_0_is_understood);
	tcase_add_test(tcase, a_ledger_of_0_2_0_with_wrong_counts_is_refused);
	tcase_add_test(tcase, a_ledger_of_0_2_0_with_wrong_marks_is_understood);
	tcase_add_test(tcase, what_is_no_ledger_is_refused);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
