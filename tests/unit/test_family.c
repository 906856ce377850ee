/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry of families: what it loads, and everything that it refuses, with the words in which
 * it does. */
#include "../plugins/compile.h"
#include "base/report.h"
#include "net/address.h"
#include "net/family.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

static char dir[64];
static struct families families;
static char *why;

static void set_up(void)
{
	compile_directory(dir);
	ck_assert_int_eq(families_init(&families, dir, geteuid()), 0);
	why = NULL;
}

static void tear_down(void)
{
	families_done(&families);
	free(why);
	compile_clean(dir);
}

/* Loads NAME and keeps the answer in why. */
static int load(const char *name, const struct family **ret)
{
	const struct family *family;
	int r;

	free(why);
	r = family_load(&families, name, &family, &why);
	ck_assert_msg((r < 0) == (why != NULL), "a refusal has a reason, success has none: %d %s",
		      r, why ? why : "");
	if (ret)
		*ret = family;
	return r;
}

static char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

#define assert_says(text) ck_assert_msg(strstr(why, text), "\"%s\" is not in \"%s\"", text, why)

START_TEST(loads_a_family_once)
{
	const struct family *family, *again;

	compile_plugin(dir, "odd", "odd", "");
	ck_assert_ptr_null(family_find(&families, "odd"));
	ck_assert_msg(load("odd", &family) == 0, "%s", why);
	ck_assert_int_eq(load("odd", &again), 0);
	ck_assert_ptr_eq(family, again);
	ck_assert_ptr_eq(family, family_find(&families, "odd"));
	ck_assert_str_eq(family->name, "odd");
	ck_assert_str_eq(family->path, path_of("odd.so"));
	ck_assert_int_eq(family_host_option(family, &family->rows[0], SPLICED_LISTEN), -1);
	ck_assert_str_eq(family->options[1].words[1], "green");
}
END_TEST

START_TEST(finds_rows)
{
	const struct family *family;

	compile_plugin(dir, "odd", "odd", "");
	ck_assert_msg(load("odd", &family) == 0, "%s", why);
	ck_assert_ptr_eq(family_row(family, -1, NULL), &family->rows[0]);
	ck_assert_ptr_eq(family_row(family, SOCK_SEQPACKET, NULL), &family->rows[1]);
	ck_assert_ptr_eq(family_row(family, -1, "second"), &family->rows[1]);
	ck_assert_ptr_eq(family_row(family, SOCK_STREAM, "first"), &family->rows[0]);
	ck_assert_ptr_null(family_row(family, SOCK_STREAM, "second"));
	ck_assert_ptr_null(family_row(family, SOCK_DGRAM, NULL));
}
END_TEST

START_TEST(names_types)
{
	ck_assert_str_eq(family_type_name(SOCK_SEQPACKET), "seqpacket");
	ck_assert_ptr_null(family_type_name(77));
	ck_assert_int_eq(family_type_from_name("rdm"), SOCK_RDM);
	ck_assert_int_eq(family_type_from_name("stream"), SOCK_STREAM);
	ck_assert_int_eq(family_type_from_name("strea"), -1);
}
END_TEST

/* A plugin with larger structs than ours, and one with a shorter one, as later and earlier minors
 * have them. */
START_TEST(undoes_sizes_and_strides)
{
	struct spliced_options options = {0};
	struct address address = {0};
	const struct family *family;
	char text[ADDRESS_TEXT_MAX];

	compile_plugin(dir, "odd", "odd",
		       "-DTAIL=24 -DABI_MINOR=7 -DSIZE='(sizeof(struct spliced_plugin)+64)'");
	ck_assert_msg(load("odd", &family) == 0, "%s", why);
	ck_assert_int_eq(family->rows[1].type, SOCK_SEQPACKET);
	ck_assert_str_eq(family->rows[1].name, "second");
	ck_assert_str_eq(family->options[1].name, "colour");
	ck_assert_uint_eq(family->plugin.n_formats, 2);
	ck_assert_str_eq(family->formats[1].name, "own");
	ck_assert_uint_eq(family->formats[1].state_size, 64);
	ck_assert_ptr_eq(family->plugin.formats, family->formats);
	ck_assert_uint_eq(family->plugin.format_stride, sizeof(struct spliced_format));
	ck_assert_uint_eq(family->plugin.row_stride, sizeof(struct spliced_row));
	ck_assert_ptr_eq(family->plugin.options, family->options);

	options.n_values = 2;
	ck_assert_int_eq(address_from_options(family, &options, -1, NULL, 0, 0, &address), 0);
	ck_assert_str_eq(address_describe(family, &family->rows[1], &address, text, sizeof text),
			 "odd second");
}
END_TEST

START_TEST(fills_up_an_older_plugin)
{
	const struct family *family;

	compile_plugin(dir, "odd", "odd",
		       "-DSIZE='offsetof(struct spliced_plugin,match)' -DMATCH='(void*)1'");
	ck_assert_msg(load("odd", &family) == 0, "%s", why);
	ck_assert_ptr_nonnull(family->plugin.describe);
	ck_assert_ptr_null(family->plugin.match);
	ck_assert_ptr_null(family->plugin.privileges);
}
END_TEST

/* Without formats, nobody asks where they are. */
START_TEST(loads_what_has_no_formats)
{
	const struct family *family;

	compile_plugin(dir, "odd", "odd", "-DN_FORMATS=0 -DFORMAT_STRIDE=0 -DFORMATS=NULL");
	ck_assert_msg(load("odd", &family) == 0, "%s", why);
	ck_assert_uint_eq(family->plugin.n_formats, 0);
}
END_TEST

/* More than is known of a socket is no harm. */
START_TEST(ignores_a_promise_that_it_does_not_know)
{
	const struct family *family;

	compile_plugin(dir, "odd", "odd", "-DSECOND_CAPABILITIES='SPLICED_CAN_CONNECT|1<<30'");
	ck_assert_msg(load("odd", &family) == 0, "%s", why);
}
END_TEST

START_TEST(loads_a_feed)
{
	const struct family *family;

	compile_plugin(
		dir, "odd", "odd",
		"-DSECOND_CAPABILITIES='SPLICED_FEED|SPLICED_CAN_LISTEN|SPLICED_BOUNDARIES'");
	ck_assert_msg(load("odd", &family) == 0, "%s", why);
	ck_assert(family->rows[1].capabilities & SPLICED_FEED);
}
END_TEST

static const struct {
	const char *defines;
	int r;
	const char *says;
} refused[] = {
	{"-DABI_MAJOR=3", -EPROTO, "built for ABI 3.1, this spliced supports 2.1: upgrade spliced"},
	{"-DABI_MAJOR=1 -DABI_MINOR=4", -EPROTO,
	 "built for ABI 1.4, this spliced supports 2.1: compile the plugin again with this "
	 "release's <spliced/plugin.h>"},
	{"-DABI_MINOR=9 -DABI_NEEDS=8", -EPROTO,
	 "needs ABI 2.8, this spliced supports 2.1: upgrade spliced"},
	{"-DSECOND_CAPABILITIES='SPLICED_CAN_CONNECT|SPLICED_TRAIT(7)'", -EPROTO,
	 "row 1: has the trait \"sideways\" (bit 39), which this spliced does not know: upgrade "
	 "spliced"},
	{"-DSECOND_CAPABILITIES='SPLICED_CAN_CONNECT|SPLICED_TRAIT(31)'", -EPROTO,
	 "row 1: has the trait \"?\" (bit 63)"},
	{"-DSECOND_CAPABILITIES='SPLICED_CAN_CONNECT|SPLICED_FILE'", -EINVAL,
	 "row 1: is a file, which requires open(), which is missing"},
	{"-DOPEN='(void*)odd_describe' "
	 "-DSECOND_CAPABILITIES='SPLICED_CAN_CONNECT|SPLICED_FILE|SPLICED_READERS'",
	 -EINVAL, "row 1: a file can only be a target or a dial"},
	{"-DUNSTABLE='&(struct spliced_unstable){.size=sizeof(struct spliced_unstable),.decode=(void*)odd_describe}'",
	 -EPROTO, "has decode(), which this spliced does not use yet: leave it out"},
	{"-DUNSTABLE='&(struct spliced_unstable){.size=sizeof(struct spliced_unstable),.program=(void*)odd_describe}'",
	 -EPROTO, "has program(), which this spliced does not use yet: leave it out"},
	{"-DUNSTABLE='&(struct spliced_unstable){.size=sizeof(struct spliced_unstable),.n_openings=1}'",
	 -EPROTO, "has openings, which this spliced does not use yet: leave it out"},
	{"-DUNSTABLE='&(struct spliced_unstable){.size=sizeof(struct spliced_unstable),.framings=\"\"}'",
	 -EPROTO, "has framings, which this spliced does not use yet: leave it out"},
	{"-DSECOND_FLAGS='SPLICED_LIVE|8'", -EINVAL,
	 "option \"colour\": its flags 0x8 are unknown"},
	{"-DSIZE=40", -EINVAL, "its size (40)"},
	{"-DSIZE=1000000", -EINVAL, "its size (1000000)"},
	{"-DTAIL=100000", -EINVAL, "strides"},
	{"-DNAME='\"even\"'", -EINVAL, "has the name \"even\""},
	{"-DSYMBOL=something_else", -ELIBACC, "does not export the symbol spliced_plugin"},
	{"-DADDRESS=NULL", -EINVAL, "lacks address() or describe()"},
	{"-DADDRESS=nowhere", -ELIBACC, "undefined symbol: nowhere"},
	{"-DCONSTRUCTOR='if(getpid()<0)nowhere(0,0,0)'", -ELIBACC, "undefined symbol: nowhere"},
	{"-DMATCH='(void*)odd_describe'", -EINVAL, "only one of rule() and match()"},
	{"-DN_ROWS=0", -EINVAL, "has no rows: formats and other tables belong to the rows"},
	{"-DN_ROWS=65", -EINVAL, "has 65 rows"},
	{"-DPEER='.peer_kind=SPLICED_PEER_BYTES,.peer_offset=120,.peer_len=9'", -EINVAL,
	 "row 0: no address of a peer has 9 bytes from byte 120 on"},
	{"-DPEER='.peer_kind=SPLICED_PEER_NUMBER,.peer_len=3'", -EINVAL,
	 "row 0: no address of a peer has 3"},
	{"-DPEER='.peer_kind=SPLICED_PEER_REVERSED'", -EINVAL, "row 0: no address of a peer has 0"},
	{"-DPEER='.peer_kind=SPLICED_PEER_IP,.peer_len=6'", -EINVAL,
	 "row 0: no address of a peer has 6"},
	{"-DCOUNTERS='.n_counters=17,.counters=(void*)rows,.counter_stride=24,'", -EINVAL,
	 "has 17 counters: at most 16 are possible"},
	{"-DCOUNTERS='.n_counters=1,.counters=(void*)rows,.counter_stride=16,'", -EINVAL,
	 "its counters' stride (16)"},
	{"-DCOUNTERS='.n_counters=1,.counters=NULL,.counter_stride=24,'", -EINVAL,
	 "has 1 counters"},
	{"-DCOUNTERS='.n_counters=1,.counter_stride=24,.counters=(const struct spliced_counter[]){{.name=\"Two words\",.doc=\"x\"}},'",
	 -EINVAL, "counter 0: its name must be a word"},
	{"-DCOUNTERS='.n_counters=1,.counter_stride=24,.counters=(const struct spliced_counter[]){{.name=\"one\"}},'",
	 -EINVAL, "counter \"one\": has no line of doc"},
	{"-DCOUNTERS='.n_counters=2,.counter_stride=24,.counters=(const struct spliced_counter[]){{.name=\"one\",.doc=\"x\"},{.name=\"one\",.doc=\"x\"}},'",
	 -EINVAL, "counter \"one\": is defined twice"},
	{"-DSAME_ROWS", -EINVAL, "rows 0 and 1"},
	{"-DPATTERN='\"HOST\"'", -EINVAL, "its pattern \"HOST\" has a word that is not an option"},
	{"-DSECOND_NAME='\"path\"'", -EINVAL, "option \"path\": is defined twice"},
	{"-DSECOND_NAME='\"Colour\"'", -EINVAL, "\"Colour\" cannot be an option's name"},
	{"-DSECOND_NAME='\"sndbuf\"'", -EINVAL, "option \"sndbuf\": is a key of every endpoint"},
	{"-DSECOND_TYPE=99", -EINVAL, "its type 99 is unknown"},
	{"-DSECOND_FLAGS='(SPLICED_LIVE|SPLICED_REOPEN)'", -EINVAL, "one of LIVE and REOPEN"},
	{"-DSECOND_FLAGS=0", -EINVAL, "one of LIVE and REOPEN"},
	{"-DSECOND_ROWS=4", -EINVAL, "rows that do not exist"},
	{"-DSECOND_DEFAULT='\"blue\"'", -EINVAL, "its default \"blue\" is not a valid value"},
	{"-DSECOND_NAME='\"format\"'", -EINVAL, "option \"format\": is a key of every endpoint"},
	{"-DSECOND_CAPABILITIES='SPLICED_FEED|SPLICED_CAN_LISTEN'", -EINVAL,
	 "row 1: a feed must be able to listen, and preserve message boundaries"},
	{"-DSECOND_CAPABILITIES='SPLICED_FEED|SPLICED_CAN_CONNECT|SPLICED_BOUNDARIES'", -EINVAL,
	 "row 1: a feed must be able to listen"},
	{"-DSECOND_CAPABILITIES='SPLICED_BINDS|SPLICED_CAN_CONNECT'", -EINVAL,
	 "row 1: its targets are bound, not connected"},
	{"-DN_FORMATS=17", -EINVAL, "has 17 formats: at most 16 are possible"},
	{"-DFORMATS=NULL", -EINVAL, "has 2 formats"},
	{"-DSIZE='offsetof(struct spliced_plugin,describe)'", -EINVAL, "its size (104)"},
	{"-DFORMAT_STRIDE=8", -EINVAL, "its formats' stride (8) is not that of any ABI"},
	{"-DFORMAT_STRIDE='(sizeof(struct spliced_format)+4)'", -EINVAL, "formats' stride"},
	{"-DFORMAT_STRIDE=100000", -EINVAL, "formats' stride (100000)"},
	{"-DFORMAT_NAME='\"raw\"'", -EINVAL, "format 1: its name must be a word, and not \"raw\""},
	{"-DFORMAT_NAME='\"J son\"'", -EINVAL, "format 1: its name must be a word"},
	{"-DFORMAT_NAME=NULL", -EINVAL, "format 1: its name must be a word"},
	{"-DFORMAT_NAME='\"lines\"'", -EINVAL, "format \"lines\": is defined twice"},
	{"-DFORMAT_ENCODE=NULL", -EINVAL, "format \"own\": has no encode()"},
	{"-DFORMAT_STATE=65", -EINVAL, "format \"own\": its state has 65 bytes: at most 64"},
	{"-DFORMAT_FRAMING=9", -EINVAL, "format \"own\": its framing 9 is unknown"},
	{"-DFORMAT_ROWS=4", -EINVAL, "format \"own\": is for rows that do not exist"},
	{"-DFORMAT_DOC='\"\"'", -EINVAL, "format \"own\": has no line of doc"},
	{"-DCONSTRUCTOR='raise(SIGSEGV)'", -ECHILD, "crashed while loading (SIGSEGV)"},
	{"-DCONSTRUCTOR='raise(SIGABRT)'", -ECHILD, "crashed while loading (SIGABRT)"},
	{"-DCONSTRUCTOR='_exit(3)'", -ECHILD, "exited while loading (exit code 3)"},
};

START_TEST(refuses_what_is_wrong)
{
	compile_plugin(dir, "odd", "odd", refused[_i].defines);
	ck_assert_int_eq(load("odd", NULL), refused[_i].r);
	assert_says(refused[_i].says);
	assert_says(path_of("odd.so"));
	ck_assert_ptr_null(families.first);
}
END_TEST

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

START_TEST(ends_a_hang)
{
	uint64_t start = now_ms();

	compile_plugin(dir, "odd", "odd", "-DCONSTRUCTOR='for(;;)pause()'");
	ck_assert_int_eq(load("odd", NULL), -ETIMEDOUT);
	assert_says("hangs: still loading after 5 s");
	ck_assert_uint_ge(now_ms() - start, 4900);
	ck_assert_uint_lt(now_ms() - start, 9000);
}
END_TEST

/* Even one that closes our pipe before it hangs. */
START_TEST(ends_a_silent_hang)
{
	compile_plugin(dir, "odd", "odd", "-DCONSTRUCTOR='close(3);for(;;)pause()'");
	ck_assert_int_eq(load("odd", NULL), -ECHILD);
	assert_says("was killed while loading");
}
END_TEST

static const char *decimal(int number)
{
	static char text[16];

	snprintf(text, sizeof text, "%d", number);
	return text;
}

/* The child that tries a plugin holds none of our descriptors, or a client would wait for its
 * FIN. */
START_TEST(tries_without_our_descriptors)
{
	int ends[2], high;

	ck_assert_int_eq(pipe(ends), 0);
	high = fcntl(ends[0], F_DUPFD, 200);
	ck_assert_int_ge(high, 200);
	/* In the child, a descriptor from 4 on that is open ends the process with its number. */
	setenv("SPLICED_TEST_PARENT", decimal(getpid()), 1);
	compile_plugin(dir, "odd", "odd",
		       "-include stdlib.h "
		       "-DCONSTRUCTOR='if(getppid()==atoi(getenv(\"SPLICED_TEST_PARENT\")))"
		       "for(int i=4;i<250;i++)if(dup2(i,i)>=0)_exit(i)'");
	ck_assert_msg(load("odd", NULL) == 0, "%s", why);
	close(ends[0]);
	close(ends[1]);
	close(high);
}
END_TEST

START_TEST(leaves_no_child_and_no_descriptor)
{
	int before = dup(0), after;

	close(before);
	compile_plugin(dir, "odd", "odd", "-DABI_MAJOR=3");
	ck_assert_int_lt(load("odd", NULL), 0);
	compile_plugin(dir, "odd", "odd", "-DCONSTRUCTOR='raise(SIGSEGV)'");
	ck_assert_int_lt(load("odd", NULL), 0);
	after = dup(0);
	close(after);
	ck_assert_int_eq(before, after);
}
END_TEST

START_TEST(names_the_nearest)
{
	compile_plugin(dir, "inet", "odd", "");
	compile_plugin(dir, "inet6", "odd", "");
	compile_plugin(dir, "unix", "odd", "");
	ck_assert_int_eq(load("inett", NULL), -ENOENT);
	assert_says("did you mean \"inet\" or \"inet6\"?");
	ck_assert_int_eq(load("Unix", NULL), -ENOENT);
	assert_says("did you mean \"unix\"?");
	ck_assert_int_eq(load("bluetooth", NULL), -ENOENT);
	assert_says("the families are \"inet\", \"inet6\" and \"unix\"");
	ck_assert_int_eq(load("../unix", NULL), -ENOENT);
	ck_assert_int_eq(load("", NULL), -ENOENT);
	ck_assert_int_eq(load("a_name_that_is_longer_than_any_family_has", NULL), -ENOENT);
}
END_TEST

START_TEST(tells_of_an_empty_or_missing_directory)
{
	ck_assert_int_eq(load("inet", NULL), -ENOENT);
	assert_says("contains no plugins");
	families_done(&families);
	ck_assert_int_eq(families_init(&families, "/nowhere/at/all", geteuid()), 0);
	ck_assert_int_eq(load("inet", NULL), -ENOENT);
	assert_says("/nowhere/at/all: cannot look for family \"inet\"");
	assert_says("plugin_dir");
}
END_TEST

START_TEST(refuses_what_others_may_write)
{
	compile_plugin(dir, "odd", "odd", "");
	ck_assert_int_eq(chmod(path_of("odd.so"), 0666), 0);
	ck_assert_int_eq(load("odd", NULL), -EPERM);
	assert_says("writable by everybody");
	ck_assert_int_eq(chmod(path_of("odd.so"), 0664), 0);
	ck_assert_int_eq(load("odd", NULL), -EPERM);
	assert_says("writable by its group");
	assert_says("chmod go-w");
	ck_assert_int_eq(chmod(path_of("odd.so"), 0644), 0);
	ck_assert_int_eq(chmod(dir, 0777), 0);
	ck_assert_int_eq(load("odd", NULL), -EPERM);
	assert_says(dir);
	ck_assert_int_eq(chmod(dir, 0755), 0);
	ck_assert_msg(load("odd", NULL) == 0, "%s", why);
}
END_TEST

START_TEST(refuses_what_is_no_file)
{
	char target[128];

	compile_plugin(dir, "odd", "odd", "");
	snprintf(target, sizeof target, "%s/real", dir);
	ck_assert_int_eq(rename(path_of("odd.so"), target), 0);
	ck_assert_int_eq(symlink(target, path_of("odd.so")), 0);
	ck_assert_int_eq(load("odd", NULL), -EPERM);
	assert_says("is not a regular file");
	ck_assert_int_eq(unlink(path_of("odd.so")), 0);
	ck_assert_int_eq(mkdir(path_of("odd.so"), 0755), 0);
	ck_assert_int_eq(load("odd", NULL), -EPERM);
	assert_says("is not a regular file");
}
END_TEST

START_TEST(refuses_what_others_own)
{
	if (geteuid() != 0) {
		printf("skipped: only root can give a file away\n");
		return;
	}
	compile_plugin(dir, "odd", "odd", "");
	ck_assert_int_eq(chown(path_of("odd.so"), 4321, 0), 0);
	ck_assert_int_eq(load("odd", NULL), -EPERM);
	assert_says("belongs to uid 4321");
	families.owner = 4321;
	ck_assert_msg(load("odd", NULL) == 0, "%s", why);
}
END_TEST

START_TEST(refuses_what_is_no_plugin)
{
	FILE *file = fopen(path_of("odd.so"), "w");

	ck_assert_ptr_nonnull(file);
	for (int i = 0; i < 100; i++)
		fputs("not a shared object\n", file);
	fclose(file);
	ck_assert_int_eq(chmod(path_of("odd.so"), 0644), 0);
	ck_assert_int_eq(load("odd", NULL), -ELIBACC);
	assert_says("invalid ELF header");
}
END_TEST

START_TEST(says_when_it_cannot_try)
{
	struct rlimit old, none = {0};

	compile_plugin(dir, "odd", "odd", "");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = (rlim_t)dup(0);
	close((int)none.rlim_cur);
	/* Room for none: the look at the directory; for two: the pipe. */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_lt(load("odd", NULL), 0);
	none.rlim_cur++;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_lt(load("odd", NULL), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_assert_msg(load("odd", NULL) == 0, "%s", why);
}
END_TEST

START_TEST(loads_all_and_reports_the_rest)
{
	struct report report = {0};

	compile_plugin(dir, "zebra", "odd", "-DNAME='\"zebra\"'");
	compile_plugin(dir, "crashy", "crashy", "");
	compile_plugin(dir, "odd", "odd", "-DABI_MAJOR=3");
	compile_plugin(dir, "Not-a-family", "odd", "");
	ck_assert_int_eq(families_load_all(&families, &report), 0);
	ck_assert_str_eq(families.first->name, "crashy");
	ck_assert_int_eq(family_host_option(families.first, families.first->rows, SPLICED_LISTEN),
			 0);
	ck_assert_str_eq(families.first->next->name, "zebra");
	ck_assert_ptr_null(families.first->next->next);
	ck_assert_uint_eq(report.count, 1);
	ck_assert_ptr_nonnull(strstr(report.text, "upgrade spliced"));
	report_done(&report);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("family");
	TCase *tcase = tcase_create("registry");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, loads_a_family_once);
	tcase_add_test(tcase, finds_rows);
	tcase_add_test(tcase, names_types);
	tcase_add_test(tcase, undoes_sizes_and_strides);
	tcase_add_test(tcase, fills_up_an_older_plugin);
	tcase_add_test(tcase, loads_what_has_no_formats);
	tcase_add_test(tcase, ignores_a_promise_that_it_does_not_know);
	tcase_add_test(tcase, loads_a_feed);
	tcase_add_loop_test(tcase, refuses_what_is_wrong, 0, sizeof refused / sizeof *refused);
	tcase_add_test(tcase, ends_a_hang);
	tcase_add_test(tcase, ends_a_silent_hang);
	tcase_add_test(tcase, tries_without_our_descriptors);
	tcase_add_test(tcase, leaves_no_child_and_no_descriptor);
	tcase_add_test(tcase, names_the_nearest);
	tcase_add_test(tcase, tells_of_an_empty_or_missing_directory);
	tcase_add_test(tcase, refuses_what_others_may_write);
	tcase_add_test(tcase, refuses_what_is_no_file);
	tcase_add_test(tcase, refuses_what_others_own);
	tcase_add_test(tcase, refuses_what_is_no_plugin);
	tcase_add_test(tcase, says_when_it_cannot_try);
	tcase_add_test(tcase, loads_all_and_reports_the_rest);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
