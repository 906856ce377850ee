/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Remembering. The memfd stays in the store over a restart, and over an upgrade: then its number
 * is in the environment, so that the store is never without one.
 */
#include "keeper/remember.h"

#include "base/log.h"
#include "control/operate.h"
#include "ledger/by_hand.h"
#include "ledger/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define VARIABLE "SPLICED_BY_HAND"

enum { TOLD_MAX = 256 /* bytes of forgotten names in the log */ };

static int passed = -1;

void remember_take(int fd)
{
	if (passed >= 0)
		close(passed);
	passed = fd;
}

void remember_pass(const struct ledger *ledger)
{
	char number[16];

	if (!ledger->by_hand || fcntl(ledger->by_hand_fd, F_SETFD, 0) < 0)
		return;
	snprintf(number, sizeof number, "%d", ledger->by_hand_fd);
	setenv(VARIABLE, number, 1);
}

void remember_pass_no_more(const struct ledger *ledger)
{
	unsetenv(VARIABLE);
	if (ledger->by_hand)
		fcntl(ledger->by_hand_fd, F_SETFD, FD_CLOEXEC);
}

void remember_find(void)
{
	const char *number = getenv(VARIABLE);
	int fd = number ? atoi(number) : -1;

	unsetenv(VARIABLE);
	if (fd > STDERR_FILENO && fcntl(fd, F_GET_SEALS) >= 0 &&
	    fcntl(fd, F_SETFD, FD_CLOEXEC) >= 0)
		remember_take(fd);
}

/* ---- at a start ---- */

struct applying {
	struct ledger *ledger;
	unsigned forgotten;
	char names[TOLD_MAX];
};

static void forget(struct applying *applying, const char *name)
{
	size_t len = strlen(applying->names);

	applying->forgotten++;
	snprintf(applying->names + len, sizeof applying->names - len, "%s%s", len ? ", " : "",
		 name);
}

static void apply(void *context, const char *name, uint32_t hand, uint32_t weight_set)
{
	struct applying *applying = context;
	struct ledger *ledger = applying->ledger;
	bool is_route = !strchr(name, '/');
	int slot = is_route ? ledger_find_route(ledger, name) : ledger_find_target(ledger, name);

	if (slot < 0) {
		forget(applying, name);
	} else if (is_route) {
		ledger->routes[slot].hand = hand;
	} else {
		ledger->targets[slot].hand = hand;
		ledger->targets[slot].weight_set = weight_set;
	}
}

static void restore(struct ledger *ledger)
{
	struct applying applying = {.ledger = ledger};
	struct log_entry entry = {.event = EVENT_BY_HAND};
	int n = by_hand_read(passed, apply, &applying);

	if (n == -EPROTONOSUPPORT || n == -EPROTO)
		log_event(LOG_WARNING, &entry,
			  "what was set by hand before this start is forgotten: its record %s",
			  n == -EPROTO ? "is damaged" : "is of another release");
	else if (n < 0)
		log_event(LOG_WARNING, &entry,
			  "what was set by hand before this start is forgotten: %s", strerror(-n));
	else if (n > (int)applying.forgotten)
		log_event(LOG_NOTICE, &entry,
			  "settings by hand of before this start are valid again: %u",
			  (unsigned)n - applying.forgotten);
	if (applying.forgotten)
		log_event(
			LOG_NOTICE, &entry,
			"settings by hand of what the configuration does not have any more are forgotten: %s%s",
			applying.names,
			strlen(applying.names) == sizeof applying.names - 1 ? "..." : "");
}

static bool use_file(struct ledger *ledger, int fd)
{
	struct by_hand_file *file = fd >= 0 ? by_hand_map(fd) : NULL;

	if (!file || ledger_keep_fd(ledger, fd) < 0) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	ledger->by_hand = file;
	ledger->by_hand_fd = fd;
	return true;
}

/* What was passed is there already. was_there: something else may be. */
static void store(const struct ledger *ledger, bool was_there)
{
	if (was_there)
		sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" REMEMBER_NAME);
	sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDPOLL=0\nFDNAME=" REMEMBER_NAME,
			       &ledger->by_hand_fd, 1);
}

void remember_begin(struct ledger *ledger, const struct generation *newest, bool took_over)
{
	bool was_passed = passed >= 0, is_new;

	if (was_passed && !took_over)
		restore(ledger);
	if (!getenv("NOTIFY_SOCKET")) {
		if (was_passed)
			close(passed);
		return;
	}
	is_new = !use_file(ledger, passed);
	if (is_new && !use_file(ledger, by_hand_make()))
		return;
	operate_keep(ledger, newest);
	if (is_new)
		store(ledger, was_passed || took_over);
}
