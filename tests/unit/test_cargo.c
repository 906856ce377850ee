/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that go from one process to another with a list: whatever becomes of two of them on
 * the way, no record gets one that is not its own, and those of all others come. */
#include "ledger/cargo.h"
#include "ledger/ledger.h"
#include "ledger/manifest.h"
#include "suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { SESSIONS = 8, PLACES_MAX = 64 };

/* What becomes of the first and the second of a pair. */
enum damage {
	NONE,
	LIST_DOUBLED,	  /* in the list the first has the number of the second */
	LIST_EXCHANGED,	  /* ... and the second that of the first */
	LIST_SHUFFLED,	  /* both entries, whole */
	LIST_CUT,	  /* behind the first */
	LEDGER_DOUBLED,	  /* the first place names the second's number */
	LEDGER_EXCHANGED, /* ... and the second that of the first */
	COME_EXCHANGED,	  /* each in the other's turn */
	COME_TWICE,	  /* the second in both turns */
	COME_OTHER,	  /* another's in the first's turn */
	LOST,		  /* from the first to the second, if it is before that */
	DAMAGES
};

static struct ledger ledger;
static int list;
static uint32_t n_places;
static struct place {
	size_t offset; /* in the ledger */
	int32_t number;
	struct stat status;
} places[PLACES_MAX];

static int pipe_of_one(void)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	close(ends[1]);
	return ends[0];
}

static void fill_listeners(void)
{
	const int kinds[][3] = {{AF_INET, SOCK_STREAM, 0},
				{AF_INET, SOCK_STREAM, 0},
				{AF_INET6, SOCK_DGRAM, 0},
				{AF_UNIX, SOCK_STREAM, 0},
				{AF_UNIX, SOCK_SEQPACKET, 0},
				{AF_UNIX, SOCK_DGRAM, 0},
				{AF_NETLINK, SOCK_RAW, NETLINK_ROUTE}};
	const uint32_t n = sizeof kinds / sizeof *kinds;

	for (uint32_t i = 0; i < n; i++) {
		struct ledger_listener *record = &ledger.listeners[i];

		record->state = LISTENER_OPEN;
		record->n_fds = i ? 1 : 2;
		for (uint32_t k = 0; k < record->n_fds; k++) {
			record->fds[k] = socket(kinds[i][0], kinds[i][1], kinds[i][2]);
			ck_assert_int_ge(record->fds[k], 0);
		}
	}
	ledger.keeper->listeners_high = n;
}

static void fill_sessions(void)
{
	const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

	for (uint32_t i = 0; i < 3; i++) {
		struct ledger_session *record = &ledger.sessions[i];

		ck_assert_int_eq(socketpair(AF_UNIX, types[i], 0, record->fd), 0);
		record->state = SESSION_RELAYING;
		for (int d = 0; d < 2; d++) {
			record->direction[d].pipe = i == 1 && d ? -1 : pipe_of_one();
			record->stage[d] = i == 1 ? pipe_of_one() : -1;
		}
	}
	/* A file. */
	close(ledger.sessions[2].fd[0]);
	ledger.sessions[2].fd[0] = open("/dev/zero", O_RDONLY);
	ledger.keeper->sessions_high = 3;
}

static int note_place(int32_t *fd, void *data)
{
	struct place *place = &places[n_places++];

	(void)data;
	ck_assert_uint_le(n_places, PLACES_MAX);
	place->offset = (size_t)((char *)fd - (char *)ledger.header);
	place->number = *fd;
	ck_assert_int_eq(fstat(*fd, &place->status), 0);
	return 0;
}

static void setup(void)
{
	ck_assert_int_eq(ledger_init(&ledger, 2, SESSIONS), 0);
	list = memfd_create("list", MFD_CLOEXEC);
	ledger.keeper->control_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(ledger.keeper->passed[0].name, "passed");
	ledger.keeper->passed[0].fd = dup(ledger.keeper->control_fd);
	ledger.controls[0].state = CONTROL_READING;
	ledger.controls[0].fd = socket(AF_UNIX, SOCK_STREAM, 0);
	for (uint32_t i = 0; i < 2; i++)
		ck_assert_int_eq(
			ledger_note_generation(&ledger, i + 1, memfd_create("generation", 0)), 0);
	fill_listeners();
	fill_sessions();
	n_places = 0;
	manifest_visit(&ledger, note_place, NULL);
}

static int32_t *word(const struct ledger *view, uint32_t i)
{
	return (int32_t *)((char *)view->header + places[i].offset);
}

static void damage_list(enum damage damage, uint32_t i, uint32_t j)
{
	struct cargo_entry one, other, before;

	ck_assert_int_eq(pread(list, &one, sizeof one, i * sizeof one), sizeof one);
	ck_assert_int_eq(pread(list, &other, sizeof other, j * sizeof one), sizeof other);
	before = one;
	if (damage == LIST_DOUBLED || damage == LIST_EXCHANGED)
		one.number = other.number;
	if (damage == LIST_EXCHANGED)
		other.number = before.number;
	if (damage == LIST_SHUFFLED) {
		one = other;
		other = before;
	}
	ck_assert_int_eq(pwrite(list, &one, sizeof one, i * sizeof one), sizeof one);
	ck_assert_int_eq(pwrite(list, &other, sizeof other, j * sizeof one), sizeof other);
	if (damage == LIST_CUT)
		ck_assert_int_eq(ftruncate(list, i * sizeof one + j % sizeof one), 0);
}

static void damage_ledger(enum damage damage, const struct ledger *view, uint32_t i, uint32_t j)
{
	if (damage == LEDGER_DOUBLED || damage == LEDGER_EXCHANGED)
		*word(view, i) = places[j].number;
	if (damage == LEDGER_EXCHANGED)
		*word(view, j) = places[i].number;
}

/* Those that are on their way; -1: lost. */
static void damage_fds(enum damage damage, int *fds, uint32_t i, uint32_t j)
{
	int one = fds[i];

	if (damage == COME_EXCHANGED) {
		fds[i] = fds[j];
		fds[j] = one;
	}
	if (damage == COME_TWICE || damage == COME_OTHER) {
		close(one);
		fds[i] = damage == COME_TWICE ? dup(fds[j]) : open("/dev/null", O_RDONLY);
	}
	for (uint32_t k = i; damage == LOST && k <= j; k++) {
		close(fds[k]);
		fds[k] = -1;
	}
}

/* Whether the descriptor of this place must have come. */
static bool must_come(enum damage damage, uint32_t k, uint32_t i, uint32_t j)
{
	switch (damage) {
	case NONE:
	case LIST_SHUFFLED:
	case COME_EXCHANGED:
		return true;
	case LIST_DOUBLED:
	case LEDGER_DOUBLED:
	case COME_TWICE:
	case COME_OTHER:
		return k != i;
	case LIST_EXCHANGED:
	case LEDGER_EXCHANGED:
		return k != i && k != j;
	case LIST_CUT:
		return k < i;
	case LOST:
		return k < i || k > j;
	case DAMAGES:
		break;
	}
	return true;
}

static void check_places(const struct ledger *view, enum damage damage, uint32_t i, uint32_t j)
{
	for (uint32_t k = 0; k < n_places; k++) {
		int fd = *word(view, k);
		struct stat status;

		ck_assert_msg(fd >= 0 || !must_come(damage, k, i, j),
			      "damage %d of %u and %u: %u did not come", damage, i, j, k);
		if (fd < 0)
			continue;
		ck_assert_int_eq(fstat(fd, &status), 0);
		ck_assert_msg(status.st_dev == places[k].status.st_dev &&
				      status.st_ino == places[k].status.st_ino,
			      "damage %d of %u and %u: %u got another's", damage, i, j, k);
		close(fd);
	}
}

static unsigned count_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static bool is_whole(const struct cargo_damage *damage)
{
	return !damage->entries && !damage->missing && !damage->unknown && !damage->unnamed &&
	       !damage->refused;
}

static bool stays_whole(enum damage damage, uint32_t i, uint32_t j)
{
	bool is_one_file = places[i].status.st_ino == places[j].status.st_ino &&
			   places[i].status.st_dev == places[j].status.st_dev;

	return damage == NONE || damage == LIST_SHUFFLED || damage == COME_EXCHANGED ||
	       (damage == COME_TWICE && is_one_file) || (damage == LOST && i > j);
}

static void try_damage(enum damage damage, uint32_t i, uint32_t j)
{
	struct ledger view;
	struct cargo cargo;
	int fds[PLACES_MAX];
	unsigned before = count_open();

	ck_assert_int_eq(cargo_write(&ledger, list), 0);
	for (uint32_t k = 0; k < n_places; k++)
		fds[k] = dup(places[k].number);
	ck_assert_int_eq(ledger_open(&view, dup(ledger.fd)), 0);
	damage_list(damage, i, j);
	damage_ledger(damage, &view, i, j);
	damage_fds(damage, fds, i, j);
	ck_assert_int_eq(cargo_read(&cargo, list), 0);
	for (uint32_t k = 0; k < n_places; k++)
		if (fds[k] >= 0)
			cargo_take(&cargo, fds[k]);
	cargo_settle(&cargo, &view);
	check_places(&view, damage, i, j);
	ck_assert_msg(is_whole(&cargo.damage) == stays_whole(damage, i, j),
		      "damage %d of %u and %u", damage, i, j);
	cargo_done(&cargo);
	ledger_done(&view);
	ck_assert_uint_eq(count_open(), before);
}

START_TEST(no_record_gets_what_is_anothers)
{
	try_damage(NONE, 0, 1);
	for (uint32_t i = 0; i < n_places; i++)
		for (uint32_t j = 0; j < n_places; j++)
			if (i != j)
				try_damage(_i, i, j);
}
END_TEST

/* One that is not open is no reason to leave all others behind. */
START_TEST(what_is_not_open_is_left_out)
{
	for (uint32_t i = 0; i < n_places; i++) {
		struct stat status;

		*word(&ledger, i) = 1 << 20;
		ck_assert_int_eq(cargo_write(&ledger, list), 0);
		ck_assert_int_eq(*word(&ledger, i), -1);
		ck_assert_int_eq(fstat(list, &status), 0);
		ck_assert_uint_eq((size_t)status.st_size,
				  (n_places - 1) * sizeof(struct cargo_entry));
		*word(&ledger, i) = places[i].number;
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cargo");
	TCase *tcase = tcase_create("cargo");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, no_record_gets_what_is_anothers, NONE + 1, DAMAGES);
	tcase_add_test(tcase, what_is_not_open_is_left_out);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
