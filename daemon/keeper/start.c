/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting up. What it opens, the keeper keeps: each descriptor is recorded in the ledger, so that
 * no heir takes it for an orphan.
 */
#include "keeper/start.h"

#include "base/clock.h"
#include "base/cpus.h"
#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "config/limit.h"
#include "control/control.h"
#include "control/status.h"
#include "keeper/errand.h"
#include "keeper/handover.h"
#include "keeper/keeper.h"
#include "keeper/listener_set.h"
#include "keeper/predecessor.h"
#include "keeper/prepare.h"
#include "keeper/privilege.h"
#include "keeper/takeover.h"
#include "ledger/generation.h"
#include "ledger/original.h"
#include "ledger/validate.h"
#include "net/passed.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
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

static enum log_format log_format(const struct config *config)
{
	return strcmp(setting(config, DAEMON_LOG_FORMAT)->text, "json") ? LOG_FORMAT_TEXT
									: LOG_FORMAT_JSON;
}

static int open_log(const struct config *config)
{
	int fd, r;

	log_set_format(log_format(config));
	r = log_open(log_choice(config), &fd);

	if (r < 0)
		log_warning(
			"logging to standard error, because the log's socket does not answer: %s",
			strerror(-r));
	return fd;
}

uint32_t start_count_threads(const struct config *config)
{
	int64_t threads = setting(config, DAEMON_WORKERS)->number;

	if (threads <= 0)
		threads = cpus_count();
	return threads < LEDGER_THREADS_MAX ? (uint32_t)threads : LEDGER_THREADS_MAX - 1;
}

static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

uint32_t start_count_sessions(const struct config *config, uint32_t listeners, uint32_t threads)
{
	uint32_t wanted = (uint32_t)setting(config, DAEMON_MAX_SESSIONS)->number;
	uint32_t room = limit_sessions(limit_descriptors(), listeners, threads);

	if (wanted <= room)
		return wanted;
	log_notice(
		"max_sessions is %u, but RLIMIT_NOFILE (%u) allows %u with %u listeners: raise it with %s",
		wanted, limit_descriptors(), room, listeners, limit_remedy());
	return room;
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

static int make_eventfd(int32_t *ret)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

int start_make_ledger(struct start *start, uint32_t threads, uint32_t sessions, int log_fd)
{
	struct ledger *ledger = &start->ledger;
	int r = ledger_init(ledger, threads, sessions);

	if (r < 0)
		return r;
	ledger->keeper->keeper_pid = ledger->keeper_pid = getpid();
	ledger->keeper->started = clock_monotonic();
	ledger->keeper->started_at = clock_realtime();
	snprintf(ledger->keeper->config_path, sizeof ledger->keeper->config_path, "%s",
		 start->path);
	ledger->keeper->log_level = start->log_level;
	log_share(&ledger->keeper->log_level, &ledger->keeper->log_losses);
	ledger_open_table(ledger);
	ledger_keep_fd(ledger, start->signal_fd);
	if (log_fd >= 0)
		ledger_keep_fd(ledger, log_fd);
	r = make_eventfd(&ledger->keeper->keeper_wake);
	if (!r)
		r = make_eventfd(&ledger->keeper->clerk_wake);
	ledger->keeper_wake = ledger->keeper->keeper_wake;
	ledger->clerk_wake = ledger->keeper->clerk_wake;
	return r;
}

int start_open_control(struct start *start, const struct config *boot, struct report *report)
{
	const struct spliced_value *mode = setting(boot, DAEMON_CONTROL_MODE);
	int fd;

	snprintf(start->ledger.keeper->control_path, sizeof start->ledger.keeper->control_path,
		 "%s", start->control_path);
	fd = control_listen(start->control_path,
			    mode->state == SPLICED_UNSET ? CONTROL_MODE : (unsigned)mode->number,
			    setting(boot, DAEMON_CONTROL_GROUP)->text, report);
	if (fd >= 0)
		start->ledger.keeper->control_fd = start->ledger.control_fd = fd;
	return fd < 0 ? fd : 0;
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

/* Who it was before, if the file says nobody that there is. */
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

/* Where it was before, if it cannot be where the file says. */
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
		r = privilege_needs(start->path, &start->families, predecessor,
				    &privilege.capabilities, report);
	if (!r)
		r = find_control(start, predecessor, &privilege, report);
	if (!r)
		r = privilege_drop(&privilege, report);
	return r;
}

/* What is wrong with it, the reload that follows a takeover finds again, with all else: it is
 * refused for that. */
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
	if (!r)
		handover_launch(&start->ledger);
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

void start_go_on_without(struct start *start, struct report *report)
{
	if (report->text)
		report_add(&start->refusal, "%.*s", (int)report->len - 1, report->text);
	report_done(report);
}

/* Of a configuration that was read just now. */
static const char *find_unread(const struct config *config)
{
	for (unsigned i = 1; i < config->files.n; i++)
		if (!config_can_read(config->files.names[i]))
			return config->files.names[i];
	return "";
}

void start_note_files(struct start *start, const struct config *config)
{
	char *unread = start->ledger.keeper->unread;

	snprintf(unread, sizeof start->ledger.keeper->unread, "%s", find_unread(config));
	original_note_words(&start->ledger, unread, sizeof start->ledger.keeper->unread);
	start->ledger.keeper->file_digest = status_files_digest(config);
	original_note_words(&start->ledger, &start->ledger.keeper->file_digest,
			    sizeof start->ledger.keeper->file_digest);
}

static bool differs(const struct spliced_value *a, const struct spliced_value *b)
{
	if (a->text && b->text)
		return strcmp(a->text, b->text) != 0;
	return !a->text != !b->text || a->number != b->number;
}

/* What the start has decided once and for all. */
static void note_later(const struct config *before, const struct config *now)
{
	static const char upgrade[] =
		"splicectl upgrade, or a restart of the service, which keep all sessions",
			  stop[] = "a stop and a start";
	static const struct {
		enum config_daemon_option option;
		const char *name, *remedy;
	} later[] = {
		{DAEMON_WORKERS, "workers", upgrade},
		{DAEMON_MAX_SESSIONS, "max_sessions", upgrade},
		{DAEMON_LOG_TO, "log.to", upgrade},
		{DAEMON_PLUGIN_DIR, "plugin_dir", upgrade},
		{DAEMON_CONTROL_PATH, "control.path", upgrade},
		{DAEMON_CONTROL_MODE, "control.mode", stop},
		{DAEMON_CONTROL_GROUP, "control.group", stop},
		{DAEMON_USER, "user", stop},
		{DAEMON_GROUP, "group", stop},
	};

	for (size_t i = 0; i < sizeof later / sizeof *later; i++)
		if (differs(setting(before, later[i].option), setting(now, later[i].option)))
			log_notice("daemon.%s has changed: applying it requires %s", later[i].name,
				   later[i].remedy);
}

void start_apply(struct start *start, const struct config *config)
{
	static int applied = -1;
	int level = log_level_from_name(setting(config, DAEMON_LOG_LEVEL)->text);

	if (start->settled)
		note_later(start->generations->next->config, config);
	/* What splicectl set stays, until the file says something new. */
	if (level != applied)
		atomic_store(&start->ledger.keeper->log_level, level);
	applied = level;
	log_set_format(log_format(config));
	start_note_files(start, config);
}

void start_end(struct start *start)
{
	if (start->control_path)
		unlink(start->control_path);
}
