/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting up. What it opens, the keeper keeps: each descriptor is recorded in the ledger, so that
 * no heir takes it for an orphan.
 */
#include "keeper/start.h"

#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "config/limit.h"
#include "control/control.h"
#include "control/status.h"
#include "keeper/errand.h"
#include "keeper/handover.h"
#include "keeper/keeper.h"
#include "keeper/lifeboat.h"
#include "keeper/listener_set.h"
#include "keeper/predecessor.h"
#include "keeper/prepare.h"
#include "keeper/privilege.h"
#include "keeper/remember.h"
#include "keeper/takeover.h"
#include "ledger/generation.h"
#include "ledger/validate.h"
#include "net/passed.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static const struct spliced_value *setting(const struct config *config,
					   enum config_daemon_option option)
{
	return &config->daemon[option].value;
}

static int exit_status(int error)
{
	switch (error) {
	case -EACCES:
	case -EPERM:
		return EX_NOPERM;
	case -EADDRINUSE:
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
	case -ENOBUFS:
		return EX_OSERR;
	}
	return EX_CONFIG;
}

static int fail(struct report *report, int status)
{
	log_lines(LOG_ERR, "", report->text);
	report_done(report);
	return status;
}

/* Blocked here, and in every worker: the keeper reads them, a worker's main thread waits for
 * SIGTERM. */
static int take_signals(struct start *start)
{
	static const int numbers[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sigaddset(&set, numbers[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a log that has reached RLIMIT_FSIZE is an error of write(2) */
	start->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return start->signal_fd < 0 ? -errno : 0;
}

static enum log_to log_choice(const struct config *config)
{
	const char *to = setting(config, DAEMON_LOG_TO)->text;

	if (to && !strcmp(to, "journal"))
		return LOG_TO_JOURNAL;
	if (to && !strcmp(to, "syslog"))
		return LOG_TO_SYSLOG;
	if (to || !getenv("JOURNAL_STREAM") || isatty(STDERR_FILENO))
		return LOG_TO_STDERR;
	return LOG_TO_JOURNAL;
}

static int open_log(const struct config *config)
{
	int fd, r;

	start_set_log_format(config);
	r = log_open(log_choice(config), &fd);
	if (r < 0)
		log_warning(
			"logging to standard error, because the log's socket does not answer: %s",
			strerror(-r));
	return fd;
}

static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Where the control socket goes: as the command line says, or $SPLICED_CONTROL; as configured; or
 * into the directory that a unit makes (RuntimeDirectory=, systemd.exec(5)), of which each instance
 * of a template has its own. Allocated. */
static char *control_path(const struct config *config, const char *asked)
{
	const struct spliced_value *path = setting(config, DAEMON_CONTROL_PATH);
	const char *directory = getenv("RUNTIME_DIRECTORY"), *set = getenv("SPLICED_CONTROL");
	char *text;

	if (asked || (set && *set))
		return strdup(asked ? asked : set);
	if (path->state == SPLICED_SET || !directory || directory[0] != '/' ||
	    strchr(directory, ':'))
		return strdup(path->text);
	return asprintf(&text, "%s/control.sock", directory) < 0 ? NULL : text;
}

/* The directory of the control socket, made while we may. */
static int make_control_directory(const char *path, const struct privilege *privilege,
				  struct report *report)
{
	char *directory = strdup(path), *slash = directory ? strrchr(directory, '/') : NULL;
	int r = 0;

	if (!directory)
		return -ENOMEM;
	if (slash && slash != directory) {
		*slash = '\0';
		if (mkdir(directory, 0755) < 0) {
			r = errno == EEXIST ? 0 : -errno;
		} else if (privilege->drop &&
			   chown(directory, privilege->uid, privilege->gid) < 0) {
			r = -errno;
		}
	}
	if (r < 0)
		report_add(
			report,
			"control socket: cannot create %s: %s; create it, or set another control.path",
			directory, strerror(-r));
	free(directory);
	return r;
}

/* Before there is a ledger, whose size depends on it. */
static int read_generation(struct start *start, struct report *report)
{
	int fd = prepare_wait(start->path, &start->families, NULL, report);

	if (fd >= 0) {
		log_lines(LOG_WARNING, "", report->text);
		report_done(report);
	}
	return fd < 0 ? fd : generation_read(&start->generations, 1, fd, &start->families, report);
}

static int first_generation(struct start *start, struct report *report)
{
	int r = generation_enter(start->generations, &start->ledger, report);

	if (r < 0)
		return r;
	r = listener_set_prepare(&start->ledger, start->generations, report);
	if (r < 0)
		return r;
	errand_wait(&start->ledger);
	r = listener_set_prepared(&start->ledger, start->generations, report);
	if (r < 0)
		return r;
	listener_set_commit(&start->ledger, start->generations);
	start->ledger.keeper->generation = 1;
	start_apply(start, start->generations->config);
	start->settled = true;
	return 0;
}

/* The predecessor's user, if the configured one does not exist. */
static int find_user(struct start *start, const struct config *boot,
		     const struct predecessor *predecessor, struct privilege *privilege,
		     struct report *report)
{
	int r = privilege_find(privilege, boot, report);

	if (r < 0 && predecessor->is_there) {
		start_go_on_without(start, report);
		privilege_of_owner(privilege, predecessor->ledger.fd);
		return 0;
	}
	return r;
}

/* The predecessor's place, if the configured one cannot be used. */
static int find_control(struct start *start, const struct predecessor *predecessor,
			const struct privilege *privilege, struct report *report)
{
	int r = make_control_directory(start->control_path, privilege, report);
	char *before;

	if (r < 0 && predecessor->is_there && *predecessor->ledger.keeper->control_path) {
		before = strndup(predecessor->ledger.keeper->control_path,
				 sizeof predecessor->ledger.keeper->control_path);
		if (!before)
			return r;
		start_go_on_without(start, report);
		free(start->control_path);
		start->control_path = before;
		return 0;
	}
	return r;
}

static int become_user(struct start *start, const struct config *boot,
		       struct predecessor *predecessor, struct report *report)
{
	struct privilege privilege;
	int r = find_user(start, boot, predecessor, &privilege, report);

	if (!r && privilege.drop)
		r = predecessor_find_needs(predecessor, start->path, &start->families,
					   &privilege.capabilities, report);
	if (!r)
		r = find_control(start, predecessor, &privilege, report);
	if (!r)
		r = privilege_drop(&privilege, report);
	return r;
}

/* The reload that follows a takeover finds its errors again, with all others, and is refused for
 * them. */
static int read_boot_config(struct start *start, struct predecessor *predecessor,
			    const struct config **ret, struct config **own, struct report *report)
{
	struct config_source source = {
		.path = start->path, .families = &start->families, .daemon_only = true};
	int r = config_load(&source, own, report);

	if (r < 0 && predecessor->boot)
		report_done(report);
	*ret = r < 0 ? predecessor->boot : *own;
	return r < 0 && predecessor->boot ? 0 : r;
}

static int start_anew(struct start *start, const struct config *boot, int log_fd,
		      struct report *report)
{
	uint32_t threads = start_count_threads(boot);
	int r = read_generation(start, report);

	if (!r)
		r = start_make_ledger(
			start, threads,
			start_count_sessions(
				boot, limit_count_listeners(start->generations->config), threads),
			log_fd);
	if (!r)
		takeover_note_passed(&start->ledger);
	if (!r)
		r = start_open_control(start, boot, report);
	if (!r)
		r = first_generation(start, report);
	return r;
}

static int start_with(struct start *start, const struct config *boot,
		      struct predecessor *predecessor, bool hides, struct report *report)
{
	const char *plugin_dir =
		start->plugin_dir ? start->plugin_dir : setting(boot, DAEMON_PLUGIN_DIR)->text;
	int r, log_fd = open_log(boot);

	start->control_path = control_path(boot, start->control);
	r = start->control_path ? families_init(&start->families, plugin_dir, getuid()) : -ENOMEM;
	if (!r)
		r = become_user(start, boot, predecessor, report);
	if (hides)
		privilege_hide();
	start->log_level = log_level_from_name(setting(boot, DAEMON_LOG_LEVEL)->text);
	if (!r && predecessor->is_there)
		r = takeover_run(start, boot, log_fd, predecessor, report);
	else if (!r)
		r = start_anew(start, boot, log_fd, report);
	if (!r) {
		lifeboat_launch(&start->ledger);
		remember_begin(&start->ledger, start->generations, start->took_over);
	}
	return r;
}

int start_up(struct start *start, const struct keeper_options *options)
{
	struct report report = {0}, lost = {0};
	const struct config *boot = NULL;
	struct config *own = NULL;
	struct predecessor predecessor = {0};
	int r;

	start->path = options->config_path;
	start->arguments = options->arguments;
	start->plugin_dir = options->plugin_dir;
	start->control = options->control;
	raise_descriptors();
	r = privilege_renounce(); /* before any plugin's code runs */
	if (!r)
		r = take_signals(start);
	if (!r) {
		predecessor_find(&predecessor, &lost);
		r = read_boot_config(start, &predecessor, &boot, &own, &report);
	}
	log_lines(LOG_ERR, "", lost.text);
	report_done(&lost);
	if (!r)
		r = start_with(start, boot, &predecessor, !options->single, &report);
	if (r < 0 && !report.count)
		report_add(&report, "cannot start: %s", strerror(-r));
	if (r < 0 && start->ledger.header && start->ledger.keeper->control_fd >= 0)
		start_end(start);
	config_free(own);
	predecessor_done(&predecessor);
	return r < 0 ? fail(&report, exit_status(r)) : EX_OK;
}

void start_end(struct start *start)
{
	if (start->control_path)
		unlink(start->control_path);
}
