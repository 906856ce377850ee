/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was set by hand, in its memfd: what was written last is read, whenever the writer stopped;
 * and nothing is read of what no writer has written. */
#include "ledger/by_hand.h"
#include "ledger/ledger.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { TEXT_MAX = 1024, HEAD_SIZE = 32 };

static int fd;
static struct by_hand_file *file;
static off_t size, half;
static char text[TEXT_MAX];

static void setup(void)
{
	struct stat status;

	fd = by_hand_make();
	ck_assert_int_ge(fd, 0);
	file = by_hand_map(fd);
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fstat(fd, &status), 0);
	size = status.st_size;
	half = size / 2;
}

static void teardown(void)
{
	munmap(file, (size_t)size);
	close(fd);
}

static void note(void *context, const char *name, uint32_t hand, uint32_t weight_set)
{
	size_t len = strlen(text);

	(void)context;
	snprintf(text + len, sizeof text - len, "%s %u %u; ", name, hand, weight_set);
}

static int read_text(int from)
{
	*text = '\0';
	return by_hand_read(from, note, NULL);
}

/* Two settings. */
static void write_two(uint32_t weight_set)
{
	struct by_hand_writer writer;

	by_hand_begin(&writer, file);
	by_hand_add(&writer, "r", LEDGER_HAND_HOLD, 0);
	by_hand_add(&writer, "r/a b", LEDGER_HAND_DRAIN, weight_set);
	by_hand_end(&writer);
	ck_assert_uint_eq(writer.left_out, 0);
}

START_TEST(test_written)
{
	struct by_hand_writer writer;

	ck_assert_int_eq(read_text(fd), 0);
	for (uint32_t weight_set = 1; weight_set < 6; weight_set++) {
		char expected[TEXT_MAX];

		write_two(weight_set);
		ck_assert_int_eq(read_text(fd), 2);
		snprintf(expected, sizeof expected, "r 4 0; r/a b 1 %u; ", weight_set);
		ck_assert_str_eq(text, expected);
	}
	by_hand_begin(&writer, file);
	by_hand_end(&writer);
	ck_assert_int_eq(read_text(fd), 0);
	by_hand_begin(&writer, NULL);
	by_hand_add(&writer, "r", 1, 0);
	by_hand_end(&writer);
}
END_TEST

/* The writer dies before it ends: what it had written before is read. */
START_TEST(test_torn)
{
	struct by_hand_writer writer;

	for (int turn = 0; turn < 4; turn++) {
		write_two(7);
		by_hand_begin(&writer, file);
		ck_assert_int_eq(read_text(fd), 2);
		by_hand_add(&writer, "another", LEDGER_HAND_DRAIN, 0);
		ck_assert_int_eq(read_text(fd), 2);
		ck_assert_str_eq(text, "r 4 0; r/a b 1 7; ");
	}
}
END_TEST

/* Each byte that counts, of both halves; the bytes behind the text do not. */
START_TEST(test_damaged)
{
	const off_t used = HEAD_SIZE + 2 * 12 + (off_t)sizeof "r" + (off_t)sizeof "r/a b";
	uint8_t byte, wrong;
	int r;

	write_two(1);
	write_two(2);
	for (off_t at = 0; at < used + 8; at++) {
		for (int i = 0; i < 2; i++) {
			ck_assert_int_eq(pread(fd, &byte, 1, at + i * half), 1);
			wrong = byte ^ 0x41;
			ck_assert_int_eq(pwrite(fd, &wrong, 1, at + i * half), 1);
		}
		r = read_text(fd);
		if (at >= used)
			ck_assert_int_eq(r, 2);
		else
			ck_assert_int_eq(r, at >= 8 && at < 12 ? -EPROTONOSUPPORT : -EPROTO);
		ck_assert(at >= used || !*text);
		for (int i = 0; i < 2; i++) {
			ck_assert_int_eq(pread(fd, &byte, 1, at + i * half), 1);
			byte ^= 0x41;
			ck_assert_int_eq(pwrite(fd, &byte, 1, at + i * half), 1);
		}
	}
	ck_assert_int_eq(read_text(fd), 2);
	ck_assert_str_eq(text, "r 4 0; r/a b 1 2; ");
	ck_assert_int_eq(pwrite(fd, "\xff", 1, half), 1); /* the newer is in the second */
	write_two(3);
	ck_assert_int_eq(read_text(fd), 2);
	ck_assert_str_eq(text, "r 4 0; r/a b 1 3; ");
}
END_TEST

/* It is whole, but no worker sets that. */
START_TEST(test_impossible)
{
	static const struct {
		const char *name;
		uint32_t hand, weight_set;
	} rows[] = {{"", 1, 0},	  {"/a", 1, 0},	 {"r", 2, 0},	{"r", 8, 0},
		    {"r", 1, 1},  {"r/a", 2, 0}, {"r/a", 4, 0}, {"r/a", 1, LEDGER_WEIGHT_MAX + 2},
		    {"r/a", 9, 0}};
	struct by_hand_writer writer;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		by_hand_begin(&writer, file);
		by_hand_add(&writer, "good", LEDGER_HAND_DRAIN, 0);
		by_hand_add(&writer, rows[i].name, rows[i].hand, rows[i].weight_set);
		by_hand_end(&writer);
		ck_assert_int_eq(read_text(fd), -EPROTO);
		ck_assert_str_eq(text, "");
	}
}
END_TEST

static void count(void *context, const char *name, uint32_t hand, uint32_t weight_set)
{
	(void)name;
	(void)hand;
	(void)weight_set;
	++*(unsigned *)context;
}

/* More than there is room for: the first are kept. */
START_TEST(test_full)
{
	enum { MANY = 20000 };
	struct by_hand_writer writer;
	unsigned n = 0;
	char name[160];

	by_hand_begin(&writer, file);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "r/%0100d", i);
		by_hand_add(&writer, name, LEDGER_HAND_DRAIN, 0);
	}
	by_hand_end(&writer);
	ck_assert_uint_gt(writer.left_out, 0);
	ck_assert_int_eq(by_hand_read(fd, count, &n), MANY - (int)writer.left_out);
	ck_assert_uint_eq(n, MANY - writer.left_out);
	ck_assert_uint_gt(n, 9000);
}
END_TEST

/* Whatever else may come in its place. */
START_TEST(test_other)
{
	int other = memfd_create("other", MFD_ALLOW_SEALING), pipes[2];

	ck_assert_int_eq(by_hand_read(-1, note, NULL), -EPROTO);
	ck_assert_int_eq(by_hand_read(other, note, NULL), -EPROTO);
	ck_assert_int_eq(ftruncate(other, size), 0);
	ck_assert_int_eq(by_hand_read(other, note, NULL), -EPROTO);
	ck_assert_ptr_null(by_hand_map(other));
	ck_assert_int_eq(fcntl(other, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	ck_assert_int_eq(by_hand_read(other, note, NULL), 0);
	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(by_hand_read(pipes[0], note, NULL), -EPROTO);
	ck_assert_ptr_null(by_hand_map(pipes[0]));
	close(pipes[0]);
	close(pipes[1]);
	close(other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("by hand");
	TCase *tests = tcase_create("file");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_written);
	tcase_add_test(tests, test_torn);
	tcase_add_test(tests, test_damaged);
	tcase_add_test(tests, test_impossible);
	tcase_add_test(tests, test_full);
	tcase_add_test(tests, test_other);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
