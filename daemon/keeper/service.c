/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the service manager is told. */
#include "keeper/service.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "control/status.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

enum { STATUS_MAX = 256 };

static struct {
	bool is_asked;       /* somebody listens */
	bool feeds;          /* and wants to be fed */
	bool is_ready;
	char status[STATUS_MAX]; /* as it was told last */
} service;

void service_init(void)
{
	uint64_t usec = 0;

	service.is_asked = getenv("NOTIFY_SOCKET") != NULL;
	service.feeds = service.is_asked && sd_watchdog_enabled(0, &usec) > 0;
	if (service.feeds && usec < 2000000)
		log_warning("WatchdogSec= of %" PRIu64 " ms is too short: spliced tells each second that it lives", usec / 1000);
}

static void describe(const struct ledger *ledger, struct generation *newest, char *text)
{
	unsigned routes = newest->config->n_routes;
	uint32_t sessions = atomic_load(&ledger->keeper->sessions_active);
	char verdict[STATUS_MAX / 2];

	status_verdict(ledger, newest, verdict, sizeof verdict);
	snprintf(text, STATUS_MAX, "%s; %u route%s, %u session%s", verdict, routes, routes == 1 ? "" : "s", sessions,
		 sessions == 1 ? "" : "s");
}

bool service_is_ready(void)
{
	return service.is_ready;
}

void service_ready(const struct ledger *ledger, struct generation *newest)
{
	service.is_ready = true;
	if (!service.is_asked)
		return;
	describe(ledger, newest, service.status);
	sd_notifyf(0, "READY=1\nSTATUS=%s", service.status);
}

void service_reloading(void)
{
	if (service.is_asked && service.is_ready)
		sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reading the configuration again",
			   clock_monotonic() / 1000);
}

void service_stopping(void)
{
	if (service.is_asked)
		sd_notify(0, "STOPPING=1\nSTATUS=Stopping");
}

void service_tick(const struct ledger *ledger, struct generation *newest, bool alive)
{
	char now[STATUS_MAX];

	if (service.feeds && alive)
		sd_notify(0, "WATCHDOG=1");
	if (!service.is_asked || !service.is_ready)
		return;
	describe(ledger, newest, now);
	if (strcmp(now, service.status) == 0)
		return;
	memcpy(service.status, now, sizeof now);
	sd_notifyf(0, "STATUS=%s", now);
}
