/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Room base: timers fire in order, the loop tells what happened, levels have names. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/index.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/report.h"
#include "base/timer.h"
#include "suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 2000 };

static struct fired {
	struct timer timer;
	unsigned times;
} many[MANY];
static uint64_t last_fired;
static unsigned count_fired;

static void note(struct timer *timer)
{
	struct fired *fired = (struct fired *)timer;

	ck_assert(!timer_is_set(timer));
	ck_assert_uint_ge(timer->at, last_fired);
	last_fired = timer->at;
	fired->times++;
	count_fired++;
}

static void begin(struct timers *timers, uint32_t size)
{
	ck_assert_int_eq(timers_init(timers, size), 0);
	memset(many, 0, sizeof many);
	last_fired = count_fired = 0;
	for (int i = 0; i < MANY; i++)
		many[i].timer.fire = note;
}

START_TEST(timers_fire_in_order)
{
	struct timers timers;

	begin(&timers, MANY);
	srand(7);
	for (int i = 0; i < MANY; i++)
		timer_set(&timers, &many[i].timer, (uint64_t)(rand() % 500) + 1);
	timers_fire(&timers, 250, MANY);
	for (int i = 0; i < MANY; i++)
		ck_assert_uint_eq(many[i].times, many[i].timer.at <= 250);
	timers_fire(&timers, 500, MANY);
	ck_assert_uint_eq(count_fired, MANY);
	ck_assert(timers_next(&timers) == UINT64_MAX);
	timers_done(&timers);
}
END_TEST

START_TEST(timers_move_and_clear)
{
	struct timers timers;
	unsigned left = 0;

	begin(&timers, MANY);
	srand(8);
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < MANY; i++)
			if (rand() % 3)
				timer_set(&timers, &many[i].timer, (uint64_t)(rand() % 1000) + 1);
			else
				timer_clear(&timers, &many[i].timer);
	for (int i = 0; i < MANY; i++)
		left += timer_is_set(&many[i].timer);
	ck_assert_uint_eq(timers.count, left);
	timers_fire(&timers, 1000, MANY);
	ck_assert_uint_eq(count_fired, left);
	timers_done(&timers);
}
END_TEST

START_TEST(timers_fire_no_more_than_asked)
{
	struct timers timers;

	begin(&timers, MANY);
	for (int i = 0; i < 10; i++)
		timer_set(&timers, &many[i].timer, 1);
	timers_fire(&timers, 5, 3);
	ck_assert_uint_eq(count_fired, 3);
	ck_assert(timers_next(&timers) == 1);
	timers_done(&timers);
}
END_TEST

static uint64_t heard_name;
static uint32_t heard_events;

static void hear(void *context, uint64_t name, uint32_t events)
{
	*(unsigned *)context += 1;
	heard_name = name;
	heard_events = events;
}

START_TEST(loop_tells_kind_and_name)
{
	struct loop loop;
	unsigned first = 0, second = 0;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert_int_eq(loop_init(&loop, 8), 0);
	loop_handle(&loop, 1, hear, &first);
	loop_handle(&loop, 2, hear, &second);
	ck_assert_int_eq(loop_add(&loop, pair[0], EPOLLIN, 2, loop_name(0x80000005u, 0xabcdef1u)),
			 0);
	ck_assert_int_eq(loop_wait(&loop, 0), 0);
	ck_assert_int_eq(write(pair[1], "x", 1), 1);
	loop_dispatch(&loop, loop_wait(&loop, NSEC_PER_SEC));
	ck_assert_uint_eq(first, 0);
	ck_assert_uint_eq(second, 1);
	ck_assert_uint_eq(loop_index(heard_name), 0x80000005u);
	ck_assert_uint_eq(loop_serial(heard_name), 0xabcdef1u);
	ck_assert(heard_events & EPOLLIN);
	ck_assert_int_eq(loop_change(&loop, pair[0], 0, 2, 0), 0);
	ck_assert_int_eq(loop_wait(&loop, 0), 0);
	ck_assert_int_eq(loop_remove(&loop, pair[0]), 0);
	ck_assert_int_lt(loop_remove(&loop, pair[0]), 0);
	loop_done(&loop);
	close(pair[0]);
	close(pair[1]);
}
END_TEST

/* However often it is counted on, it is never that of none, and never reaches the kind that stands
 * above it. */
START_TEST(loop_counts_serials)
{
	const uint32_t last = (1u << LOOP_SERIAL_BITS) - 1;

	ck_assert_uint_eq(loop_next_serial(0), 1);
	ck_assert_uint_eq(loop_next_serial(1), 2);
	ck_assert_uint_eq(loop_next_serial(last - 1), last);
	ck_assert_uint_eq(loop_next_serial(last), 1);
	ck_assert_uint_eq(loop_name(UINT32_MAX, last) >> (32 + LOOP_SERIAL_BITS), 0);
	ck_assert_uint_eq(loop_serial(loop_name(UINT32_MAX, last)), last);
	ck_assert_uint_eq(loop_index(loop_name(UINT32_MAX, last)), UINT32_MAX);
}
END_TEST

START_TEST(loop_wakes_for_a_timer)
{
	struct loop loop;

	begin(&loop.timers, 4);
	timers_done(&loop.timers);
	ck_assert_int_eq(loop_init(&loop, 4), 0);
	timer_set(&loop.timers, &many[0].timer, clock_monotonic() + 2 * NSEC_PER_MSEC);
	/* Asked to wait for an hour, it comes back for the timer, and not before it is due. */
	loop_dispatch(&loop, loop_wait(&loop, 3600 * NSEC_PER_SEC));
	ck_assert_uint_eq(count_fired, 1);
	loop_done(&loop);
}
END_TEST

START_TEST(levels_have_names)
{
	for (int level = LOG_ERR; level <= LOG_DEBUG; level++)
		ck_assert_int_eq(log_level_from_name(log_level_name(level)), level);
	ck_assert_int_lt(log_level_from_name("loud"), 0);
}
END_TEST

START_TEST(report_counts_past_its_bound)
{
	struct report report = {0};
	char line[1000];

	memset(line, 'x', sizeof line - 1);
	line[sizeof line - 1] = '\0';
	for (int i = 0; i < 400; i++)
		report_add(&report, "%d %s", i, line);
	ck_assert_uint_eq(report.count, 400);
	ck_assert_uint_le(report.len, REPORT_MAX);
	ck_assert_uint_eq(report.len, strlen(report.text));
	report_done(&report);
	ck_assert_ptr_null(report.text);
}
END_TEST

/* Few hashes, so that many numbers share one, and places run into each other. */
static char root[64];

/* A file below root, with the directories on the way. */
static void put(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", root, name);
	for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static unsigned quota(const char *groups)
{
	char path[128];

	put("self", groups);
	snprintf(path, sizeof path, "%s/self", root);
	return cpus_quota(path, root);
}

START_TEST(quotas_of_control_groups)
{
	char remove[128];

	snprintf(root, sizeof root, "/tmp/cpus.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	/* version 2: the least of a group and those above it, rounded up */
	put("cpu.max", "900000 100000\n");
	put("a/cpu.max", "max 100000\n");
	put("a/b/cpu.max", "150000 100000\n");
	put("a/b/c/memory.max", "1\n");
	put("a/none/cpu.max", "nonsense\n");
	ck_assert_uint_eq(quota("0::/\n"), 9);
	ck_assert_uint_eq(quota("0::/a\n"), 9);
	ck_assert_uint_eq(quota("0::/a/b\n"), 2);
	ck_assert_uint_eq(quota("0::/a/b/c\n"), 2);
	ck_assert_uint_eq(quota("0::/a/none\n"), 9);
	ck_assert_uint_eq(quota("0::/not/here\n"), 9);
	put("a/cpu.max", "1000 100000\n");
	ck_assert_uint_eq(quota("0::/a/b\n"), 1);
	put("cpu.max", "max 100000\n");
	ck_assert_uint_eq(quota("0::/\n"), 0);
	/* version 1: the controller's own hierarchy */
	put("cpu/x/cpu.cfs_quota_us", "250000\n");
	put("cpu/x/cpu.cfs_period_us", "100000\n");
	put("cpu/cpu.cfs_quota_us", "-1\n");
	put("cpu/cpu.cfs_period_us", "100000\n");
	ck_assert_uint_eq(quota("5:memory:/x\n4:cpu,cpuacct:/x\n0::/\n"), 3);
	ck_assert_uint_eq(quota("5:cpuset:/x\n4:cpu,cpuacct:/\n"), 0);
	ck_assert_uint_eq(quota(""), 0);
	ck_assert_uint_eq(quota("garbage\n:\n::\n"), 0);
	ck_assert_uint_ge(cpus_count(), 1);
	snprintf(remove, sizeof remove, "rm -r %s", root);
	ck_assert_int_eq(system(remove), 0);
}
END_TEST

START_TEST(index_finds_what_is_there)
{
	enum { NUMBERS = 600, HASHES = 140 };
	static bool there[NUMBERS];
	struct index index = {0};
	uint32_t number;

	srand(1);
	memset(there, 0, sizeof there);
	ck_assert(!index_next(&index, 0, &(size_t){0}, &number));
	for (int i = 0; i < 40 * NUMBERS; i++) {
		uint32_t one = (uint32_t)rand() % NUMBERS;
		uint64_t hash = one % HASHES * UINT64_C(0x100000001);
		unsigned found = 0, expected = 0;

		if (there[one] || i > 36 * NUMBERS) {
			index_remove(&index, hash, one);
			there[one] = false;
		} else {
			ck_assert_int_eq(index_add(&index, hash, one), 0);
			there[one] = true;
		}
		for (size_t at = 0; index_next(&index, hash, &at, &number); found++)
			ck_assert(there[number] && number % HASHES == one % HASHES);
		for (uint32_t k = one % HASHES; k < NUMBERS; k += HASHES)
			expected += there[k];
		ck_assert_uint_eq(found, expected);
	}
	index_done(&index);
}
END_TEST

START_TEST(index_hashes_depend_on_what_came_before)
{
	ck_assert(index_hash_text("a", 0) == index_hash_text("a", 0));
	ck_assert(index_hash_text("a", 0) != index_hash_text("b", 0));
	ck_assert(index_hash_text("a", index_hash_text("b", 0)) !=
		  index_hash_text("b", index_hash_text("a", 0)));
}
END_TEST

/* How a child ends that asserts, and what it logs. */
static int assert_in_child(void (*body)(void), char *said, size_t size)
{
	int pipe_fds[2], status;
	ssize_t n, len = 0;
	pid_t child;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (!child) {
		dup2(pipe_fds[1], STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		body();
		_exit(0);
	}
	close(pipe_fds[1]);
	while ((n = read(pipe_fds[0], said + len, size - 1 - (size_t)len)) > 0)
		len += n;
	said[len] = '\0';
	close(pipe_fds[0]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

static int assert_looks;
static bool assert_look(void)
{
	assert_looks++;
	return false;
}

static void assert_what_holds(void)
{
	assert(!assert_looks);
}

enum { ASSERT_LINE = __LINE__ + 3 };
static void assert_what_does_not(void)
{
	assert(assert_look());
}

static void assert_costly_what_does_not(void)
{
	assert_costly(assert_look());
	_exit(assert_looks);
}

static void assert_in_the_loop(void)
{
	struct loop loop = {.epoll_fd = -1};

	loop_handle(&loop, LOOP_KINDS, NULL, NULL);
}

START_TEST(assertions_end_the_process_and_say_where)
{
	char said[1024], expected[128];
	int status = assert_in_child(assert_what_holds, said, sizeof said);

	ck_assert(WIFEXITED(status) && !WEXITSTATUS(status));
	ck_assert_str_eq(said, "");
	status = assert_in_child(assert_what_does_not, said, sizeof said);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGABRT);
	snprintf(expected, sizeof expected, "test_base.c:%u: assertion failed: assert_look()\n",
		 (unsigned)ASSERT_LINE);
	ck_assert_msg(strstr(said, expected) != NULL, "%s", said);
	status = assert_in_child(assert_in_the_loop, said, sizeof said);
	ck_assert_int_eq(WTERMSIG(status), SIGABRT);
	ck_assert_msg(strstr(said, " daemon/base/loop.c:") && strstr(said, "kind < LOOP_KINDS"),
		      "%s", said);
}
END_TEST

START_TEST(costly_assertions_are_for_developers)
{
	char said[1024];
	int status = assert_in_child(assert_costly_what_does_not, said, sizeof said);

#ifdef SPLICED_DEV
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGABRT);
#else
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0); /* not even looked at */
	ck_assert_str_eq(said, "");
#endif
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base");
	TCase *tcase = tcase_create("base");

	tcase_add_test(tcase, timers_fire_in_order);
	tcase_add_test(tcase, timers_move_and_clear);
	tcase_add_test(tcase, timers_fire_no_more_than_asked);
	tcase_add_test(tcase, loop_tells_kind_and_name);
	tcase_add_test(tcase, loop_counts_serials);
	tcase_add_test(tcase, loop_wakes_for_a_timer);
	tcase_add_test(tcase, levels_have_names);
	tcase_add_test(tcase, report_counts_past_its_bound);
	tcase_add_test(tcase, quotas_of_control_groups);
	tcase_add_test(tcase, index_finds_what_is_there);
	tcase_add_test(tcase, index_hashes_depend_on_what_came_before);
	tcase_add_test(tcase, assertions_end_the_process_and_say_where);
	tcase_add_test(tcase, costly_assertions_are_for_developers);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
