/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Notifications to the service manager. sd_notify(3) opens a socket for each message, which is
 * refused when no descriptor is left, and must not happen while an heir sweeps: this one is open
 * from the start. A manager that does not read blocks nothing; the message is sent again at the
 * next tick.
 */
#include "keeper/service.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "control/status.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { STATUS_MAX = 256, MESSAGE_MAX = STATUS_MAX + 128 };

static struct {
	bool is_asked; /* NOTIFY_SOCKET is set */
	bool feeds;    /* and the watchdog is on */
	bool is_ready;
	int fd;			  /* connected to the manager's socket */
	char unsent[MESSAGE_MAX]; /* a state that could not be sent; empty: none */
	char status[STATUS_MAX];  /* as last sent */
} service;

/* The socket that NOTIFY_SOCKET names, sd_notify(3): a path, or with @ an abstract name. Its
 * descriptor, or negative errno. */
static int connect_manager(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(name);
	int fd, r;

	if ((*name != '/' && *name != '@') || len < 2 || len >= sizeof address.sun_path)
		return -EINVAL;
	memcpy(address.sun_path, name, len);
	if (*name == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&address,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)))
		return fd;
	r = -errno;
	close(fd);
	return r;
}

void service_init(struct ledger *ledger)
{
	const char *name = getenv("NOTIFY_SOCKET");
	uint64_t usec = 0;

	service.fd = name ? connect_manager(name) : -1;
	if (name && service.fd < 0)
		log_error("the service manager's socket %s: %s: no notifications are sent", name,
			  strerror(-service.fd));
	service.is_asked = service.fd >= 0 && !ledger_keep_fd(ledger, service.fd);
	service.feeds = service.is_asked && sd_watchdog_enabled(0, &usec) > 0;
	if (service.feeds && usec < 2000000)
		log_warning("WatchdogSec= of %" PRIu64
			    " ms is too short: spliced sends a keep-alive every second",
			    usec / 1000);
}

static bool send_message(const char *text)
{
	ssize_t n;

	do
		n = send(service.fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n >= 0;
}

/* A state: a later one replaces one that could not be sent. */
static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(service.unsent, sizeof service.unsent, format, args);
	va_end(args);
	if (send_message(service.unsent))
		service.unsent[0] = '\0';
}

static void describe(const struct ledger *ledger, struct generation *newest, char *text)
{
	unsigned routes = newest->config->n_routes;
	uint32_t sessions = atomic_load(&ledger->keeper->sessions_active);
	char verdict[STATUS_MAX / 2];

	status_verdict(ledger, newest, verdict, sizeof verdict);
	snprintf(text, STATUS_MAX, "%s; %u route%s, %u session%s", verdict, routes,
		 routes == 1 ? "" : "s", sessions, sessions == 1 ? "" : "s");
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
	tell("READY=1\nSTATUS=%s", service.status);
}

void service_reloading(void)
{
	if (service.is_asked && service.is_ready)
		tell("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reloading the configuration",
		     clock_monotonic() / 1000);
}

void service_stopping(void)
{
	if (service.is_asked)
		tell("STOPPING=1\nSTATUS=Stopping");
}

void service_tick(const struct ledger *ledger, struct generation *newest, bool alive)
{
	char now[STATUS_MAX];

	if (service.feeds && alive)
		send_message("WATCHDOG=1");
	if (service.is_asked && *service.unsent && send_message(service.unsent))
		service.unsent[0] = '\0';
	if (!service.is_asked || !service.is_ready)
		return;
	describe(ledger, newest, now);
	if (strcmp(now, service.status) == 0 || *service.unsent)
		return;
	memcpy(service.status, now, sizeof now);
	tell("STATUS=%s", now);
}
