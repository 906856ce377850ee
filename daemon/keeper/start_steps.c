/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Steps of a start that a takeover has, too: how large the ledger becomes, and the ledger, the
 * control socket. */
#include "keeper/start.h"

#include "base/clock.h"
#include "base/cpus.h"
#include "base/log.h"
#include "config/config.h"
#include "config/limit.h"
#include "control/control.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const struct spliced_value *setting(const struct config *config,
					   enum config_daemon_option option)
{
	return &config->daemon[option].value;
}

uint32_t start_count_threads(const struct config *config)
{
	int64_t threads = setting(config, DAEMON_WORKERS)->number;

	if (threads <= 0)
		threads = cpus_count();
	return threads < LEDGER_THREADS_MAX ? (uint32_t)threads : LEDGER_THREADS_MAX - 1;
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

void start_go_on_without(struct start *start, struct report *report)
{
	if (report->text)
		report_add(&start->refusal, "%.*s", (int)report->len - 1, report->text);
	report_done(report);
}
