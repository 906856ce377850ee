/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handing over: what another process left is taken, by its number or out of the lifeboat; and the
 * program's file as it is now is checked, and becomes this process.
 */
#include "keeper/handover.h"

#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "keeper/errand.h"
#include "keeper/job.h"
#include "keeper/lifeboat.h"
#include "keeper/prepare.h"
#include "keeper/remember.h"
#include "keeper/start.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/manifest.h"
#include "net/passed.h"
#include "net/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { LEAVE_SECONDS = 5 };

#define LEDGER_VARIABLE "SPLICED_LEDGER"

/* ---- what both ways need ---- */

static int set_cloexec(int32_t *fd, void *data)
{
	return fcntl(*fd, F_SETFD, data ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

static int close_one(int32_t *fd, void *data)
{
	(void)data;
	if (*fd > STDERR_FILENO)
		close(*fd);
	*fd = -1;
	return 0;
}

static void give_up(struct ledger *old)
{
	if (!old->header)
		return;
	manifest_visit(old, close_one, NULL);
	ledger_done(old);
}

static void add_leave(struct jobs *jobs, const struct ledger_session *record, unsigned side,
		      struct generation *newest, const struct config_leg *leg)
{
	const struct config_route *route =
		generation_route(newest, record->generation, record->route);
	int fd = record->fd[side];
	struct job job = {.kind = JOB_LEAVE,
			  .config = generation_find(newest, record->generation)->config,
			  .route = route,
			  .endpoint = side ? generation_target(route, record)
					   : generation_front(route, record),
			  .leg = leg,
			  .n = 1,
			  .fds = &fd};

	if (jobs_add(jobs, &job) < 0)
		log_warning(
			"route %s: no memory to let family \"%s\" undo the kernel settings of a socket",
			route->name, leg->family->name);
}

/* A truncated stream must not look complete, if the family has a reset; a normal end undoes
 * this. Not for a listener's socket, because accepted sockets would inherit it. jobs: also undo
 * what the socket set in the kernel beyond its own life. */
static void cut(const struct ledger_session *record, unsigned side, struct generation *newest,
		struct jobs *jobs)
{
	const struct config_leg *leg = generation_leg(newest, record, side);

	if (record->fd[side] < 0 || !leg)
		return;
	if (jobs && leg->row->capabilities & SPLICED_FEED && leg->family->plugin.release)
		add_leave(jobs, record, side, newest, leg);
	if (leg->row->capabilities & SPLICED_RESET)
		socket_set_abort(record->fd[side]);
}

static void cut_all(const struct ledger *ledger, struct generation *newest, struct jobs *jobs)
{
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++)
		for (unsigned side = 0; ledger->sessions[i].state != SESSION_FREE && side < 2;
		     side++)
			cut(&ledger->sessions[i], side, newest, jobs);
}

void handover_abandon(struct ledger *ledger, struct generation *newest)
{
	struct jobs jobs = {0};

	cut_all(ledger, newest, &jobs);
	if (!errand_start(ledger, &jobs, LEAVE_SECONDS, NULL))
		errand_wait(ledger);
}

bool handover_send(struct ledger *ledger, struct generation *newest)
{
	int r;

	if (!lifeboat_is_launched())
		return false;
	/* If no process takes them over. */
	cut_all(ledger, newest, NULL);
	r = lifeboat_send(ledger);
	/* EPIPE: the manager keeps none, FileDescriptorStoreMax= is 0. */
	if (r < 0 && r != -EPIPE)
		log_error("cannot store the sessions for the next start: %s", strerror(-r));
	return !r;
}

/* All that the manager passes: the lifeboat, or -1; what was set by hand; and sockets to listen
 * on. */
static int take_passed(struct report *report)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names), boat_fd = -1, r;

	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (!strcmp(names[i], LIFEBOAT_NAME)) {
			boat_fd = fd;
		} else if (!strcmp(names[i], REMEMBER_NAME)) {
			remember_take(fd);
		} else {
			r = passed_add(names[i], fd);
			if (r == -EEXIST)
				report_add(
					report,
					"systemd passes several sockets as \"%s\", only the first is used: set only "
					"one ListenStream= per unit, or different FileDescriptorName=",
					names[i]);
			else if (r < 0)
				report_add(
					report,
					"the socket that systemd passes as \"%s\" is not used: %s",
					names[i], strerror(-r));
		}
		free(names[i]);
	}
	free(names);
	return boat_fd;
}

/* ---- upgrade ---- */

/* A descriptor that is not open has no owner: validation finds the record that names it
 * (validate.h). */
static int take_number(int32_t *fd, void *data)
{
	(void)data;
	if (*fd <= STDERR_FILENO || fcntl(*fd, F_SETFD, FD_CLOEXEC) < 0)
		*fd = -1;
	return 0;
}

static int take_exec(const char *number, struct ledger *old)
{
	int fd = atoi(number), r;

	unsetenv(LEDGER_VARIABLE);
	if (fd <= STDERR_FILENO || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -EBADF;
	r = ledger_open(old, fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	manifest_visit(old, take_number, NULL);
	return 1;
}

/* No daemon reaches this many reloads; beyond it, numbers would wrap around. */
enum { LAST_GENERATION = 1 << 30 };

/* Frees records that name no configuration, or the same as an earlier one: the configuration is
 * lost, and its sessions with it. Returns how many are left. */
static unsigned keep_generations(struct ledger *old)
{
	unsigned count = 0;

	for (int i = 0; i < LEDGER_GENERATIONS_MAX; i++) {
		struct ledger_generation *record = &old->generations[i];
		int seals = record->number ? fcntl(record->fd, F_GET_SEALS) : -1;
		bool fits = seals >= 0 && seals & F_SEAL_WRITE && record->number <= LAST_GENERATION;

		for (int k = 0; k < i; k++)
			fits &= old->generations[k].number != record->number &&
				old->generations[k].fd != record->fd;
		if (fits)
			count++;
		else
			*record = (struct ledger_generation){0};
	}
	return count;
}

int handover_take(struct ledger *old, struct report *report)
{
	const char *number = getenv(LEDGER_VARIABLE);
	int fd = -1, r;

	*old = (struct ledger){.fd = -1};
	if (number) {
		r = take_exec(number, old);
		remember_find();
	} else {
		fd = take_passed(report);
		r = fd >= 0 ? lifeboat_take(fd, old, report) : 0;
	}
	if (r > 0 && !keep_generations(old))
		r = -EPROTO;
	if (fd >= 0)
		close(fd);
	if (r < 0) {
		report_add(report,
			   "cannot take over from the previous spliced, its sessions end: %s",
			   strerror(-r));
		give_up(old);
	}
	return r;
}

/* The file's name; replaced: another file has it now. */
static int find_program(char *path, size_t size, bool *replaced)
{
	static const char deleted[] = " (deleted)";
	ssize_t n = readlink("/proc/self/exe", path, size - 1);

	if (n < 0)
		return -errno;
	path[n] = '\0';
	*replaced = (size_t)n > strlen(deleted) && !strcmp(path + n - strlen(deleted), deleted);
	if (*replaced)
		path[(size_t)n - strlen(deleted)] = '\0';
	return 0;
}

static int program_path(char *path, size_t size)
{
	bool replaced;

	return find_program(path, size, &replaced);
}

int handover_exec(struct ledger *ledger, char *const *arguments)
{
	char path[4096], number[16];
	int r = program_path(path, sizeof path);

	if (!r)
		r = manifest_visit(ledger, set_cloexec, NULL);
	if (!r && fcntl(ledger->fd, F_SETFD, 0) < 0)
		r = -errno;
	if (!r) {
		snprintf(number, sizeof number, "%d", ledger->fd);
		setenv(LEDGER_VARIABLE, number, 1);
		remember_pass(ledger);
		execv(path, arguments);
		r = -errno;
		unsetenv(LEDGER_VARIABLE);
		remember_pass_no_more(ledger);
	}
	fcntl(ledger->fd, F_SETFD, FD_CLOEXEC);
	manifest_visit(ledger, set_cloexec, ledger);
	return r;
}

struct check {
	struct ledger *ledger;
	char *const *arguments;
	const char *config_path, *plugin_dir;
};

static void run_check(const struct prepare *prepare, void *data)
{
	const struct check *check = data;
	struct ledger *ledger = check->ledger;
	char path[4096], number[16];
	char *words[] = {check->arguments[0],
			 "-t",
			 "-c",
			 (char *)check->config_path,
			 "--adopts",
			 number,
			 NULL,
			 NULL,
			 NULL};

	if (check->plugin_dir) {
		words[6] = "--plugin-dir";
		words[7] = (char *)check->plugin_dir;
	}
	snprintf(number, sizeof number, "%d", ledger->fd);
	dup2(prepare->report_fd, STDOUT_FILENO);
	dup2(prepare->report_fd, STDERR_FILENO);
	close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	fcntl(ledger->fd, F_SETFD, 0);
	for (int i = 0; i < LEDGER_GENERATIONS_MAX; i++)
		if (ledger->generations[i].number)
			fcntl(ledger->generations[i].fd, F_SETFD, 0);
	if (!program_path(path, sizeof path))
		execv(path, words);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", path, strerror(errno));
	_exit(EX_UNAVAILABLE);
}

int handover_check(struct prepare *prepare, struct ledger *ledger, const struct start *start)
{
	struct check check = {ledger, start->arguments, start->path, start->plugin_dir};

	return prepare_start_check(prepare, ledger, run_check, &check);
}

bool handover_is_understood(struct ledger *ledger, const struct start *start)
{
	/* A wrong file ends no session: this concerns only the ledger. */
	struct check check = {ledger, start->arguments, "/dev/null",
			      start->plugin_dir ? start->plugin_dir : start->families.dir};
	struct report report = {0};
	char path[4096];
	bool replaced = false;
	int r;

	if (!lifeboat_is_launched() || find_program(path, sizeof path, &replaced) < 0 ||
	    !replaced || access(path, X_OK) < 0)
		return true;
	r = prepare_wait_check(ledger, run_check, &check, &report);
	if (r == -ETIMEDOUT)
		r = 0; /* unknown */
	if (r < 0) {
		log_warning(
			"%s is another program now, which cannot continue the sessions of spliced %s: they end",
			path, PACKAGE_VERSION);
		log_lines(LOG_WARNING, "", report.text);
	}
	report_done(&report);
	return r >= 0;
}

int handover_try(int fd, struct families *families, struct report *report)
{
	struct ledger old;
	int r = ledger_open(&old, fd);

	if (r < 0) {
		report_add(
			report,
			"this release does not understand the sessions of the running one: restart it, when they may end");
		return r;
	}
	for (int i = 0; i < LEDGER_GENERATIONS_MAX && !r; i++) {
		if (old.generations[i].number)
			r = config_answer_generation(old.generations[i].fd, families, -1, report);
	}
	return r;
}
