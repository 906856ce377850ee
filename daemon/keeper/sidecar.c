/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/sidecar.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "config/limit.h"
#include "keeper/child.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "net/callback.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COMPANIONS_MAX = LIMIT_COMPANIONS, PAUSE_SECONDS = 5 };

static struct companion {
	pid_t pid; /* 0: it has ended, and is started again after `next` */
	bool used;
	uint32_t listener;
	uint64_t digest; /* of the listener that it was started for */
	uint64_t next;	 /* CLOCK_MONOTONIC ns */
} companions[COMPANIONS_MAX];

static bool is_wanted(const struct ledger_listener *record, const struct config_leg *leg)
{
	return record->state == LISTENER_OPEN && leg && leg->has_companion;
}

static struct companion *find(uint32_t listener, uint64_t digest)
{
	for (unsigned i = 0; i < COMPANIONS_MAX; i++)
		if (companions[i].used && companions[i].listener == listener &&
		    companions[i].digest == digest)
			return &companions[i];
	return NULL;
}

static struct companion *claim(uint32_t listener, uint64_t digest)
{
	for (unsigned i = 0; i < COMPANIONS_MAX; i++)
		if (!companions[i].used) {
			companions[i] = (struct companion){
				.used = true, .listener = listener, .digest = digest};
			return &companions[i];
		}
	return NULL;
}

_Noreturn static void run(const struct config_leg *leg)
{
	child_begin(NULL, 0);
	_exit(CALLBACK(leg->family, sidecar, leg->family->plugin.sidecar(&leg->options, 1)) < 0
		      ? 1
		      : 0);
}

static void start(struct companion *companion, const struct config_leg *leg)
{
	companion->next = clock_monotonic() + PAUSE_SECONDS * NSEC_PER_SEC;
	companion->pid = fork();
	if (companion->pid == 0)
		run(leg);
	if (companion->pid < 0) {
		log_warning(
			"cannot start the companion process that announces a service: %s; trying again",
			strerror(errno));
		companion->pid = 0;
	}
}

static void end(struct companion *companion)
{
	if (companion->pid)
		kill(companion->pid, SIGKILL);
	companion->used = false;
}

void sidecar_tick(const struct ledger *ledger, struct generation *newest)
{
	for (unsigned i = 0; i < COMPANIONS_MAX; i++) {
		const struct ledger_listener *record = &ledger->listeners[companions[i].listener];

		if (companions[i].used &&
		    (record->state != LISTENER_OPEN || record->digest != companions[i].digest))
			end(&companions[i]);
	}
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++) {
		const struct ledger_listener *record = &ledger->listeners[i];
		const struct config_leg *leg = generation_listens_by(newest, record);
		struct companion *companion;

		if (!is_wanted(record, leg))
			continue;
		companion = find(i, record->digest);
		if (!companion)
			companion = claim(i, record->digest);
		if (companion && !companion->pid && companion->next <= clock_monotonic())
			start(companion, leg);
	}
}

void sidecar_ended(pid_t pid)
{
	for (unsigned i = 0; i < COMPANIONS_MAX; i++)
		if (companions[i].used && companions[i].pid == pid)
			companions[i].pid = 0;
}

void sidecar_stop(void)
{
	for (unsigned i = 0; i < COMPANIONS_MAX; i++)
		if (companions[i].used)
			end(&companions[i]);
	for (unsigned i = 0; i < COMPANIONS_MAX; i++) {
		while (companions[i].pid && waitpid(companions[i].pid, NULL, 0) < 0 &&
		       errno == EINTR)
			;
		companions[i].pid = 0;
	}
}
