/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper changes the ledger while a worker that goes astray writes there, too: whichever word
 * is wrong by then, what the keeper believes from now on is what it has written itself. */
#include "keeper/binding.h"
#include "keeper/job.h"
#include "keeper/opening.h"
#include "keeper/reuseport.h"
#include "ledger/ledger.h"
#include "ledger/original.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A socket that is a session's, in no record of the keeper's; numbers that nobody looks at. */
enum { OF_SESSION = 900, KEPT = 910, MORE = 920, WORDS = 12 };

static struct ledger ledger;

static void set_up(void)
{
	ck_assert_int_eq(ledger_init(&ledger, 2, 10), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(ledger_keep_fd(&ledger, KEPT + i), 0);
		ck_assert_int_eq(ledger_note_generation(&ledger, 1 + i, KEPT + i), 0);
	}
	ledger.keeper->listeners_high = 2;
	ck_assert_int_eq(original_new(&ledger), 0);
}

static void tear_down(void)
{
	ledger_done(&ledger);
}

static const uint32_t wrong[] = {0,	    1, OF_SESSION, KEPT + 1, INT_MAX, (uint32_t)INT_MIN,
				 UINT32_MAX};

enum { WRONG = sizeof wrong / sizeof *wrong };

/* Once for each word of these, and each wrong value. */
#define FOR_EACH_WRONG(words, value)                     \
	for (uint32_t words = 0; words < WORDS; words++) \
		for (uint32_t value = 0; value < WRONG; value++)

static unsigned times_kept(int fd)
{
	unsigned times = 0;

	for (int i = 0; i < LEDGER_KEEPER_FDS; i++)
		times += ledger.keeper->fds[i] == fd;
	return times;
}

static void check_kept(int more)
{
	unsigned kept = 0;

	original_restore(&ledger);
	for (int i = 0; i < LEDGER_KEEPER_FDS; i++)
		kept += ledger.keeper->fds[i] != -1;
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(times_kept(KEPT + i), 1);
	ck_assert_uint_eq(times_kept(MORE), more);
	ck_assert_uint_eq(kept, 3 + more);
}

START_TEST(what_is_kept_and_let_go_is_no_other_number)
{
	FOR_EACH_WRONG(word, value)
	{
		ledger.keeper->fds[word] = (int32_t)wrong[value];
		ck_assert_int_eq(ledger_keep_fd(&ledger, MORE), 0);
		check_kept(1);
		ledger.keeper->fds[word] = (int32_t)wrong[value];
		ledger_forget_fd(&ledger, MORE);
		check_kept(0);
	}
}
END_TEST

static void check_generations(int more)
{
	unsigned count = 0;

	original_restore(&ledger);
	for (int i = 0; i < LEDGER_GENERATIONS_MAX; i++)
		count += ledger.generations[i].number != 0;
	ck_assert_uint_eq(count, 3 + more);
	for (int i = 0; i < 3 + more; i++) {
		ck_assert_uint_eq(ledger.generations[i].number, i + 1);
		ck_assert_int_eq(ledger.generations[i].fd, i < 3 ? KEPT + i : MORE);
	}
}

START_TEST(a_generation_that_comes_or_goes_changes_no_other)
{
	uint32_t *words = (uint32_t *)ledger.generations;

	FOR_EACH_WRONG(word, value)
	{
		words[word] = wrong[value];
		ck_assert_int_eq(ledger_note_generation(&ledger, 4, MORE), 0);
		check_generations(1);
		words[word] = wrong[value];
		ledger_forget_generation(&ledger, 4);
		check_generations(0);
	}
}
END_TEST

/* ---- listeners ---- */

/* The words of a record up to its second socket. */
enum { UP_TO_SOCKETS = offsetof(struct ledger_listener, fds) / sizeof(uint32_t) + 2 };

static int bystander[2];

static struct ledger_listener *record_of(uint32_t index, uint32_t state, int one, int other)
{
	struct ledger_listener *record = &ledger.listeners[index];

	memset(record, 0, sizeof *record);
	record->n_fds = 2;
	record->fds[0] = one;
	record->fds[1] = other;
	record->state = state;
	original_note_listener(&ledger, record);
	return record;
}

static void write_wrong(struct ledger_listener *record, uint32_t word, uint32_t value)
{
	((uint32_t *)record)[word] =
		wrong[value] == OF_SESSION ? (uint32_t)bystander[0] : wrong[value];
}

static void check_record(const struct ledger_listener *record, uint32_t state, int one, int other)
{
	original_restore(&ledger);
	ck_assert_uint_eq(record->state, state);
	ck_assert_uint_eq(record->n_fds, 2);
	ck_assert_int_eq(record->fds[0], one);
	ck_assert_int_eq(record->fds[1], other);
	ck_assert_int_ge(fcntl(bystander[0], F_GETFD), 0);
}

static void open_two(int *fds)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void check_closed(const int *fds)
{
	for (int i = 0; i < 2; i++)
		ck_assert_int_lt(fcntl(fds[i], F_GETFD), 0);
}

START_TEST(a_socket_that_comes_is_in_its_place_and_none_is_taken_for_another)
{
	const struct job job = {.kind = JOB_OPEN, .record = 1};
	struct ledger_listener *record;
	int fds[2];

	open_two(bystander);
	for (uint32_t word = 0; word < UP_TO_SOCKETS; word++)
		for (uint32_t value = 0; value < WRONG; value++) {
			open_two(fds);
			record = record_of(1, LISTENER_PENDING, -1, -1);
			write_wrong(record, word, value);
			opening_take_socket(&ledger, &job, 0, fds[0]);
			write_wrong(record, word, value);
			opening_take_socket(&ledger, &job, 1, fds[1]);
			check_record(record, LISTENER_PENDING, fds[0], fds[1]);
			write_wrong(record, word, value);
			opening_take_back(&ledger, record);
			check_closed(fds);
			original_restore(&ledger);
			ck_assert_uint_eq(record->state, LISTENER_FREE);
		}
	ck_assert_int_ge(fcntl(bystander[0], F_GETFD), 0);
}
END_TEST

START_TEST(one_that_waits_again_closes_its_own_sockets)
{
	int fds[2];

	open_two(bystander);
	for (uint32_t word = 0; word < UP_TO_SOCKETS; word++)
		for (uint32_t value = 0; value < WRONG; value++) {
			struct ledger_listener *record;

			open_two(fds);
			record = record_of(1, LISTENER_WAITING, fds[0], fds[1]);
			write_wrong(record, word, value);
			opening_wait_again(&ledger, record, -ENODEV);
			check_closed(fds);
			original_restore(&ledger);
			ck_assert_uint_eq(record->state, LISTENER_WAITING);
			ck_assert_int_eq(record->waits, ENODEV);
			ck_assert_int_ge(fcntl(bystander[0], F_GETFD), 0);
		}
}
END_TEST

START_TEST(one_whose_place_is_lost_keeps_its_sockets)
{
	int fds[2];

	open_two(bystander);
	open_two(fds);
	for (uint32_t word = 0; word < UP_TO_SOCKETS; word++)
		for (uint32_t value = 0; value < WRONG; value++) {
			struct ledger_listener *record =
				record_of(1, LISTENER_OPEN, fds[0], fds[1]);

			write_wrong(record, word, value);
			binding_wait(&ledger, record, -ENODEV);
			check_record(record, LISTENER_OPEN, fds[0], fds[1]);
			ck_assert_int_eq(record->waits, ENODEV);
		}
}
END_TEST

/* Its threads take sockets out of it as well: of a number that is not the keeper's nobody can tell
 * whether it is open, and the sweep closes it. */
START_TEST(one_that_leaves_closes_no_socket_but_its_own)
{
	int fds[2], stays[2];

	open_two(bystander);
	open_two(stays);
	for (uint32_t word = 0; word < UP_TO_SOCKETS; word++)
		for (uint32_t value = 0; value < WRONG; value++) {
			struct ledger_listener *record, *other;

			open_two(fds);
			other = record_of(0, LISTENER_OPEN, stays[0], stays[1]);
			record = record_of(1, LISTENER_LEAVING, fds[0], fds[1]);
			other->group = record->group = 7;
			reuseport_settle(&ledger);
			original_note(&ledger);
			record->let_go[0] = record->let_go[1] = 1;
			write_wrong(record, word, value);
			reuseport_close(&ledger);
			check_record(other, LISTENER_OPEN, stays[0], stays[1]);
			for (int i = 0; i < 2; i++)
				close(fds[i]);
		}
}
END_TEST

/* What its threads take out of a listener that leaves stays out. */
START_TEST(a_listener_leaves_while_it_is_looked_at)
{
	struct ledger_listener *record = &ledger.listeners[0];

	record->n_fds = 2;
	record->fds[0] = MORE;
	record->fds[1] = MORE + 1;
	record->state = LISTENER_LEAVING;
	original_note(&ledger);
	record->fds[0] = -1;
	original_restore(&ledger);
	ck_assert_int_eq(record->fds[0], -1);
	record->fds[1] = 17000;
	original_restore(&ledger);
	ck_assert_int_eq(record->fds[1], -1);
	record->state = LISTENER_FREE;
	original_restore(&ledger);
	ck_assert_uint_eq(record->state, LISTENER_FREE);
}
END_TEST

/* Else the keeper would copy each page of them that it writes to after a start. */
START_TEST(a_child_has_no_originals_and_believes_what_was_put_back)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *at = (void *)((uintptr_t)ledger.original & ~(page - 1));
	unsigned char resident;
	int status;
	pid_t child;

	ck_assert_int_eq(mincore(at, page, &resident), 0);
	child = fork();
	if (!child) {
		bool there = !mincore(at, page, &resident) || errno != ENOMEM;

		original_leave(&ledger);
		original_note(&ledger);
		original_restore_all(&ledger);
		_exit(there || !ledger.kept);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert(ledger.original && ledger.kept);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("original");
	TCase *tcase = tcase_create("original");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, what_is_kept_and_let_go_is_no_other_number);
	tcase_add_test(tcase, a_generation_that_comes_or_goes_changes_no_other);
	tcase_add_test(tcase, a_socket_that_comes_is_in_its_place_and_none_is_taken_for_another);
	tcase_add_test(tcase, one_that_waits_again_closes_its_own_sockets);
	tcase_add_test(tcase, one_whose_place_is_lost_keeps_its_sockets);
	tcase_add_test(tcase, one_that_leaves_closes_no_socket_but_its_own);
	tcase_add_test(tcase, a_listener_leaves_while_it_is_looked_at);
	tcase_add_test(tcase, a_child_has_no_originals_and_believes_what_was_put_back);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
