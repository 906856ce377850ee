/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting up. What it opens, the keeper keeps: each descriptor is recorded in the ledger, so that no heir takes it for
 * an orphan.
 */
#include "keeper/start.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "config/limit.h"
#include "control/control.h"
#include "control/status.h"
#include "keeper/errand.h"
#include "keeper/handover.h"
#include "keeper/keeper.h"
#include "keeper/listen.h"
#include "keeper/prepare.h"
#include "keeper/privilege.h"
#include "ledger/generation.h"
#include "ledger/original.h"
#include "ledger/validate.h"
#include "net/passed.h"

#include <errno.h>
#include <sched.h>
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

static const struct spliced_value *setting(const struct config *config, enum config_daemon_option option)
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

/* Blocked here, and in every worker: the keeper reads them, a worker's main thread waits for SIGTERM. */
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
	int fd, r = log_open(log_choice(config), &fd);

	if (r < 0)
		log_warning("the log goes to standard error, because its socket does not answer: %s", strerror(-r));
	return fd;
}

static uint32_t count_threads(const struct config *config)
{
	int64_t threads = setting(config, DAEMON_WORKERS)->number;
	cpu_set_t cpus;

	if (threads <= 0)
		threads = sched_getaffinity(0, sizeof cpus, &cpus) ? 1 : CPU_COUNT(&cpus);
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

static uint32_t count_sessions(const struct config *config, uint32_t listeners, uint32_t threads)
{
	uint32_t wanted = (uint32_t)setting(config, DAEMON_MAX_SESSIONS)->number;
	uint32_t room = limit_sessions(limit_descriptors(), listeners, threads);

	if (wanted <= room)
		return wanted;
	log_notice("max_sessions is %u, but RLIMIT_NOFILE (%u) allows %u beside %u listeners: LimitNOFILE= of the unit raises it", wanted,
		   limit_descriptors(), room, listeners);
	return room;
}

/* Where the control socket goes: as configured; or into the directory that a unit makes (RuntimeDirectory=, systemd.exec(5)), of
 * which each instance of a template has its own. Allocated. */
static char *control_path(const struct config *config)
{
	const struct spliced_value *path = setting(config, DAEMON_CONTROL_PATH);
	const char *directory = getenv("RUNTIME_DIRECTORY");
	char *text;

	if (path->state == SPLICED_SET || !directory || directory[0] != '/' || strchr(directory, ':'))
		return strdup(path->text);
	return asprintf(&text, "%s/control.sock", directory) < 0 ? NULL : text;
}

/* The directory of the control socket, made while we may. */
static int make_control_directory(const char *path, const struct privilege *privilege, struct report *report)
{
	char *directory = strdup(path), *slash = directory ? strrchr(directory, '/') : NULL;
	int r = 0;

	if (!directory)
		return -ENOMEM;
	if (slash && slash != directory) {
		*slash = '\0';
		if (mkdir(directory, 0755) < 0) {
			r = errno == EEXIST ? 0 : -errno;
		} else if (privilege->drop && chown(directory, privilege->uid, privilege->gid) < 0) {
			r = -errno;
		}
	}
	if (r < 0)
		report_add(report, "control socket: cannot make %s: %s; make it, or name another control.path", directory,
			   strerror(-r));
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

static int make_ledger(struct start *start, uint32_t threads, uint32_t sessions, int log_fd)
{
	struct ledger *ledger = &start->ledger;
	int r = ledger_init(ledger, threads, sessions);

	if (r < 0)
		return r;
	ledger->keeper->keeper_pid = ledger->keeper_pid = getpid();
	ledger->keeper->started = clock_monotonic();
	ledger->keeper->started_at = clock_realtime();
	snprintf(ledger->keeper->config_path, sizeof ledger->keeper->config_path, "%s", start->path);
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

static int open_control(struct start *start, const struct config *boot, struct report *report)
{
	const struct spliced_value *mode = setting(boot, DAEMON_CONTROL_MODE);
	int fd;

	snprintf(start->ledger.keeper->control_path, sizeof start->ledger.keeper->control_path, "%s", start->control_path);
	fd = control_listen(start->control_path, mode->state == SPLICED_UNSET ? CONTROL_MODE : (unsigned)mode->number,
			    setting(boot, DAEMON_CONTROL_GROUP)->text, report);
	if (fd >= 0)
		start->ledger.keeper->control_fd = start->ledger.control_fd = fd;
	return fd < 0 ? fd : 0;
}

/* Before there is a ledger, whose size depends on it. */
static int read_generation(struct start *start, struct report *report)
{
	int fd = prepare_wait(start->path, &start->families, NULL, report);

	return fd < 0 ? fd : generation_read(&start->generations, 1, fd, &start->families, report);
}

static int first_generation(struct start *start, struct report *report)
{
	int r = generation_enter(start->generations, &start->ledger, report);

	if (r < 0)
		return r;
	r = listen_prepare(&start->ledger, start->generations, report);
	if (r < 0)
		return r;
	errand_wait(&start->ledger);
	r = listen_prepared(&start->ledger, start->generations, report);
	if (r < 0)
		return r;
	listen_commit(&start->ledger, start->generations);
	start->ledger.keeper->generation = 1;
	start_apply(start, start->generations->config);
	start->settled = true;
	return 0;
}

static bool is_control_socket(int fd)
{
	int listens = 0, domain = 0;
	socklen_t len = sizeof listens, domain_len = sizeof domain;

	return fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) && listens &&
	       !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) && domain == AF_UNIX;
}

/* To where it is configured now. */
static int move_control(struct start *start, const struct config *boot, struct report *report)
{
	struct ledger_keeper *keeper = start->ledger.keeper;

	if (is_control_socket(start->ledger.control_fd)) {
		unlink(keeper->control_path);
		close(start->ledger.control_fd);
	}
	keeper->control_fd = start->ledger.control_fd = -1;
	return open_control(start, boot, report);
}

/* What the families answered the release before is asked again, by a child. */
static int take_generation(struct start *start, uint32_t number, int old_fd, struct generation **ret, struct report *report)
{
	int fd = prepare_answers(old_fd, &start->families, &start->ledger, report);

	if (fd < 0)
		return fd;
	ledger_forget_generation(&start->ledger, number);
	close(old_fd);
	return generation_new(ret, number, fd, &start->families, &start->ledger, report);
}

/* Numbers rise: the newest is the last. */
static int take_generations(struct start *start, struct report *report)
{
	struct ledger *ledger = &start->ledger;
	uint32_t last = 0;

	for (;;) {
		const struct ledger_generation *next = NULL;
		struct generation *generation;
		int r;

		for (int i = 0; i < LEDGER_GENERATIONS_MAX; i++)
			if (ledger->generations[i].number > last && (!next || ledger->generations[i].number < next->number))
				next = &ledger->generations[i];
		if (!next)
			return last ? 0 : -EPROTO;
		last = next->number;
		r = take_generation(start, last, next->fd, &generation, report);
		if (r < 0)
			return r;
		generation->next = start->generations;
		start->generations = generation;
	}
}

/* Sockets that were passed are recorded with the ledger. Those of an earlier start that were not passed again are used as they were. */
static void note_passed(struct ledger *ledger)
{
	const struct passed *passed;

	for (int i = 0; i < PASSED_MAX; i++) {
		int fd = ledger->keeper->passed[i].fd;

		if (!*ledger->keeper->passed[i].name || fd < 0)
			continue;
		ledger->keeper->passed[i].name[PASSED_NAME_MAX - 1] = '\0';
		/* What is not used any more is nobody's: the sweep closes it. */
		if (!passed_find(ledger->keeper->passed[i].name))
			passed_add(ledger->keeper->passed[i].name, fd);
		ledger->keeper->passed[i].name[0] = '\0';
	}
	for (unsigned i = 0; (passed = passed_at(i)); i++) {
		memcpy(ledger->keeper->passed[i].name, passed->name, PASSED_NAME_MAX);
		ledger->keeper->passed[i].fd = passed->fd;
	}
}

/* What another process of this program left goes on here. */
static int take_over(struct start *start, const struct config *boot, int log_fd, struct ledger *old, struct report *report)
{
	uint32_t threads = count_threads(boot), sessions;
	struct validation found;
	int r;

	/* Each of its threads may have listening sockets of its own, whose queues only a thread in its place serves. */
	if (threads < old->n_threads) {
		log_notice("daemon.workers is %u: the %u there were stay until the sessions may end, at a stop", threads, old->n_threads);
		threads = old->n_threads;
	}
	sessions = count_sessions(boot, ledger_listeners_high(old), threads);
	r = make_ledger(start, threads, sessions > ledger_sessions_high(old) ? sessions : ledger_sessions_high(old), log_fd);
	if (!r)
		r = ledger_inherit(&start->ledger, old);
	if (r < 0)
		return r;
	ledger_done(old);
	*old = (struct ledger){.fd = -1};
	found = validate_sums(&start->ledger);
	note_passed(&start->ledger);
	start->took_over = true;
	r = take_generations(start, report);
	if (!r) {
		validate_ledger(&start->ledger, start->generations);
		validate_log(&start->ledger, &found);
		listen_take_over(&start->ledger, start->generations);
		start_apply(start, start->generations->config);
	}
	if (!r && (strcmp(start->control_path, start->ledger.keeper->control_path) != 0 || !is_control_socket(start->ledger.control_fd)))
		r = move_control(start, boot, report);
	return r;
}

static int become_user(struct start *start, const struct config *boot, struct report *report)
{
	struct privilege privilege;
	int r = privilege_find(&privilege, boot, report);

	if (!r && privilege.drop)
		r = privilege_needs(start->path, &start->families, &privilege.capabilities, report);
	if (!r)
		r = make_control_directory(start->control_path, &privilege, report);
	if (!r)
		r = privilege_drop(&privilege, report);
	return r;
}

static int read_boot_config(struct start *start, struct config **ret, struct report *report)
{
	struct config_source source = {.path = start->path, .families = &start->families, .daemon_only = true};

	return config_load(&source, ret, report);
}

static int start_anew(struct start *start, const struct config *boot, int log_fd, struct report *report)
{
	uint32_t threads = count_threads(boot);
	int r;

	/* What is said here already is of another's ledger. */
	if (report->text)
		log_lines(LOG_ERR, "", report->text);
	report_done(report);
	r = read_generation(start, report);
	if (!r)
		r = make_ledger(start, threads, count_sessions(boot, limit_count_listeners(start->generations->config), threads), log_fd);
	if (!r)
		note_passed(&start->ledger);
	if (!r)
		r = open_control(start, boot, report);
	if (!r)
		r = first_generation(start, report);
	return r;
}

int start_up(struct start *start, const struct keeper_options *options)
{
	struct report report = {0};
	struct config *boot = NULL;
	const char *plugin_dir;
	struct ledger old;
	int r, log_fd;

	start->path = options->config_path;
	start->arguments = options->arguments;
	start->plugin_dir = options->plugin_dir;
	raise_descriptors();
	r = privilege_renounce(); /* before any plugin's code runs */
	if (!r)
		r = take_signals(start);
	if (!r)
		r = read_boot_config(start, &boot, &report);
	if (r < 0 && !report.count)
		report_add(&report, "cannot start: %s", strerror(-r));
	if (r < 0)
		return fail(&report, exit_status(r));
	plugin_dir = options->plugin_dir ? options->plugin_dir : setting(boot, DAEMON_PLUGIN_DIR)->text;
	log_fd = open_log(boot);
	start->control_path = control_path(boot);
	r = start->control_path ? families_init(&start->families, plugin_dir, getuid()) : -ENOMEM;
	if (!r)
		r = become_user(start, boot, &report);
	if (!options->single)
		privilege_hide();
	start->log_level = log_level_from_name(setting(boot, DAEMON_LOG_LEVEL)->text);
	if (!r && handover_take(&old, &report) > 0)
		r = take_over(start, boot, log_fd, &old, &report);
	else if (!r)
		r = start_anew(start, boot, log_fd, &report);
	if (!r)
		handover_launch(&start->ledger);
	if (r < 0 && !report.count)
		report_add(&report, "cannot start: %s", strerror(-r));
	if (r < 0 && start->ledger.header && start->ledger.keeper->control_fd >= 0)
		start_end(start);
	config_free(boot);
	return r < 0 ? fail(&report, exit_status(r)) : EX_OK;
}

void start_note_files(struct start *start, const struct config *config)
{
	start->ledger.keeper->file_digest = status_files_digest(config);
	original_note_words(&start->ledger, &start->ledger.keeper->file_digest, sizeof start->ledger.keeper->file_digest);
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
	static const char upgrade[] = "splicectl upgrade, or a restart of the service, which end no session", stop[] = "a stop and a start";
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
			log_notice("daemon.%s has changed: it takes %s", later[i].name, later[i].remedy);
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
	start_note_files(start, config);
}

void start_end(struct start *start)
{
	if (start->control_path)
		unlink(start->control_path);
}
