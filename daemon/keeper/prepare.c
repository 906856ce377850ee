/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preparing a generation. The keeper makes both memfds before it forks, and records them: a worker
 * that dies meanwhile has an heir, and the heir sweeps. The child closes all else it inherits at
 * once: its copy of a client's socket would hold back a FIN.
 */
#include "keeper/prepare.h"

#include "base/clock.h"
#include "base/report.h"
#include "config/config.h"
#include "keeper/buffer_limits.h"
#include "keeper/privilege.h"
#include "ledger/ledger.h"
#include "ledger/original.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	PREPARE_SECONDS = 20,
	CHILD_TEXT_FD = 3, /* the descriptors that a child keeps, in this order */
	CHILD_REPORT_FD,
	CHILD_SOURCE_FD,
	CHILD_FDS = 3,
	CHILD_FIRST_FREE_FD = CHILD_TEXT_FD + CHILD_FDS,
};

static void write_report(int fd, const struct report *report)
{
	size_t done = 0;

	while (done < report->len) {
		ssize_t n = write(fd, report->text + done, report->len - done);
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

/* The memfds to numbers of their own, everything else closed. source_fd -1: there is none. */
static int keep_only(int text_fd, int report_fd, int source_fd)
{
	int fds[CHILD_FDS] = {text_fd, report_fd, source_fd},
	    n = source_fd < 0 ? CHILD_FDS - 1 : CHILD_FDS;

	for (int i = 0; i < n; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD, CHILD_FIRST_FREE_FD);
		if (fds[i] < 0)
			return -errno;
	}
	for (int i = 0; i < n; i++)
		if (dup2(fds[i], CHILD_TEXT_FD + i) < 0)
			return -errno;
	return close_range((unsigned)(CHILD_TEXT_FD + n), ~0u, 0) < 0 ? -errno : 0;
}

static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
}

struct reading {
	const char *path; /* NULL: a generation, which gets new answers */
	int fd;		  /* of that */
	struct families *families;
	bool may_wait; /* what is not known yet, or cannot be read */
};

_Noreturn static void end_child(struct report *report, const char *path, int r)
{
	if (r && !report->count)
		report_add(report, "%s: %s", path, strerror(-r));
	write_report(CHILD_REPORT_FD, report);
	_exit(!r ? EX_OK : r == -EACCES || r == -EPERM ? EX_NOPERM : EX_CONFIG);
}

static void read_configuration(const struct prepare *prepare, void *data)
{
	const struct reading *reading = data;
	struct config_source source = {.path = reading->path,
				       .families = reading->families,
				       .resolve_listeners = true,
				       .names_may_wait = reading->may_wait};
	struct report report = {0};
	struct config *config;
	int r;

	r = keep_only(prepare->text_fd, prepare->report_fd, -1);
	if (!r)
		r = config_load(&source, &config, &report);
	if (!r)
		r = privilege_check_namespaces(config, &report);
	if (!r)
		buffer_limits_check(config, &report);
	if (!r)
		r = config_write_generation(config, reading->families, CHILD_TEXT_FD, &report);
	end_child(&report, reading->path, r);
}

/* Makes another of a generation by `convert`; what: its subject, for the report. */
_Noreturn static void
convert_generation(const struct prepare *prepare, const struct reading *reading, const char *what,
		   int (*convert)(int fd, struct families *families, int to, struct report *report))
{
	struct report report = {0};
	int r = keep_only(prepare->text_fd, prepare->report_fd, reading->fd);

	if (!r)
		r = convert(CHILD_SOURCE_FD, reading->families, CHILD_TEXT_FD, &report);
	end_child(&report, what, r);
}

static void answer_generation(const struct prepare *prepare, void *data)
{
	convert_generation(prepare, data, "a configuration in use", config_answer_generation);
}

static void resolve_generation(const struct prepare *prepare, void *data)
{
	convert_generation(prepare, data, "the names of users and groups",
			   config_resolve_generation);
}

static int make_memfd(const char *name, struct ledger *ledger)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ledger && ledger_keep_fd(ledger, fd) < 0) {
		close(fd);
		return -ENOSPC;
	}
	return fd;
}

static void drop(int *fd, struct ledger *ledger)
{
	if (*fd < 0)
		return;
	if (ledger)
		ledger_forget_fd(ledger, *fd);
	close(*fd);
	*fd = -1;
}

static int begin(struct prepare *prepare, struct ledger *ledger, int text_fd, prepare_run run,
		 void *data)
{
	int r;

	*prepare = (struct prepare){.text_fd = text_fd};
	prepare->report_fd = make_memfd("spliced-report", ledger);
	if (prepare->report_fd < 0) {
		drop(&prepare->text_fd, ledger);
		return prepare->report_fd;
	}
	prepare->deadline = clock_monotonic() + PREPARE_SECONDS * NSEC_PER_SEC;
	prepare->pid = fork();
	if (prepare->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ledger)
			original_leave(ledger);
		reset_signals();
		run(prepare, data);
		_exit(EX_SOFTWARE);
	}
	if (prepare->pid > 0)
		return 0;
	r = -errno;
	prepare->pid = 0;
	drop(&prepare->text_fd, ledger);
	drop(&prepare->report_fd, ledger);
	return r;
}

static int start(struct prepare *prepare, struct ledger *ledger, prepare_run run,
		 struct reading *reading)
{
	int text_fd = make_memfd("spliced-generation", ledger);

	return text_fd < 0 ? text_fd : begin(prepare, ledger, text_fd, run, reading);
}

int prepare_start(struct prepare *prepare, const char *path, bool may_wait,
		  struct families *families, struct ledger *ledger)
{
	struct reading reading = {path, -1, families, may_wait};

	return start(prepare, ledger, read_configuration, &reading);
}

int prepare_start_names(struct prepare *prepare, int fd, struct families *families,
			struct ledger *ledger)
{
	struct reading reading = {NULL, fd, families, false};

	return start(prepare, ledger, resolve_generation, &reading);
}

int prepare_start_check(struct prepare *prepare, struct ledger *ledger, prepare_run run, void *data)
{
	return begin(prepare, ledger, -1, run, data);
}

void prepare_expire(struct prepare *prepare)
{
	prepare->timed_out = true;
	kill(prepare->pid, SIGKILL);
}

static void read_report(int fd, struct report *report)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text, *line, *rest;

	if (size <= 0 || size > REPORT_MAX)
		return;
	text = calloc(1, (size_t)size + 1);
	if (!text)
		return;
	if (pread(fd, text, (size_t)size, 0) == size)
		for (rest = text; (line = strsep(&rest, "\n"));)
			if (*line)
				report_add(report, "%s", line);
	free(text);
}

/* A plugin may have called exit(3): then nothing was written. */
static bool is_well(int text_fd, int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == EX_OK &&
	       (text_fd < 0 || lseek(text_fd, 0, SEEK_END) > 0);
}

int prepare_finish(struct prepare *prepare, int status, struct ledger *ledger,
		   struct report *report)
{
	int fd = prepare->text_fd;

	read_report(prepare->report_fd, report);
	drop(&prepare->report_fd, ledger);
	prepare->pid = 0;
	if (is_well(fd, status)) {
		if (fd < 0)
			return 0;
		fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
		if (ledger)
			ledger_forget_fd(ledger, fd);
		prepare->text_fd = -1;
		return fd;
	}
	drop(&prepare->text_fd, ledger);
	if (prepare->timed_out)
		report_add(report, "%s took longer than %d s; a name server or a plugin may hang",
			   fd < 0 ? "the check of the new program" : "reading the configuration",
			   PREPARE_SECONDS);
	else if (WIFSIGNALED(status))
		report_add(report,
			   "the process that checks the configuration died of signal %d (%s)",
			   WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (!report->text)
		report_add(
			report,
			"the process that checks the configuration exited with status %d and reported nothing: a plugin may call exit()",
			WEXITSTATUS(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == EX_NOPERM ? -EACCES : -EINVAL;
}

/* Waits for the child no longer than until its deadline. Its wait status. */
static int wait_for_child(struct prepare *prepare)
{
	struct pollfd watched = {.fd = pidfd_open(prepare->pid, 0), .events = POLLIN};
	uint64_t now = clock_monotonic();
	int status = 0;

	while (watched.fd >= 0 && now < prepare->deadline &&
	       poll(&watched, 1, (int)((prepare->deadline - now) / NSEC_PER_MSEC) + 1) < 0 &&
	       errno == EINTR)
		now = clock_monotonic();
	if (watched.fd >= 0) {
		close(watched.fd);
		if (!waitpid(prepare->pid, &status, WNOHANG))
			prepare_expire(prepare);
		else
			return status;
	}
	while (waitpid(prepare->pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int prepare_wait(const char *path, struct families *families, struct ledger *ledger,
		 struct report *report)
{
	struct reading reading = {path, -1, families, true};
	struct prepare prepare;
	int r;

	r = start(&prepare, ledger, read_configuration, &reading);
	if (r < 0) {
		report_add(report, "%s: %s", path, strerror(-r));
		return r;
	}
	return prepare_finish(&prepare, wait_for_child(&prepare), ledger, report);
}

int prepare_answers(int fd, struct families *families, struct ledger *ledger, struct report *report)
{
	struct reading reading = {NULL, fd, families, false};
	struct prepare prepare;
	int r;

	r = start(&prepare, ledger, answer_generation, &reading);
	return r < 0 ? r : prepare_finish(&prepare, wait_for_child(&prepare), ledger, report);
}

int prepare_wait_check(struct ledger *ledger, prepare_run run, void *data, struct report *report)
{
	struct prepare prepare;
	int r = prepare_start_check(&prepare, ledger, run, data);

	if (r < 0)
		return r;
	r = prepare_finish(&prepare, wait_for_child(&prepare), ledger, report);
	return r < 0 && prepare.timed_out ? -ETIMEDOUT : r;
}
