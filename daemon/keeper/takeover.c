/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Takeover: continues with what another process of this program left: its ledger, and all that it
 * names. A configuration that cannot be applied is no reason to end a session: the start continues
 * with the old one, and the reload that follows is refused for it.
 */
#include "keeper/takeover.h"

#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "keeper/listener_set.h"
#include "keeper/predecessor.h"
#include "keeper/prepare.h"
#include "keeper/start.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/validate.h"
#include "net/passed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_control_socket(int fd)
{
	int listens = 0, domain = 0;
	socklen_t len = sizeof listens, domain_len = sizeof domain;

	return fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) && listens &&
	       !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) && domain == AF_UNIX;
}

/* To the name configured now. If that fails, it stays, and a reload reports why. */
static int move_control(struct start *start, const struct config *boot, struct report *report)
{
	struct ledger_keeper *keeper = start->ledger.keeper;
	int fd = is_control_socket(start->ledger.control_fd) ? start->ledger.control_fd : -1, r;
	char path[sizeof keeper->control_path];
	char *there;

	snprintf(path, sizeof path, "%s", keeper->control_path);
	r = start_open_control(start, boot, report);
	if (r < 0 && fd >= 0) {
		there = strdup(path);
		if (!there)
			return -ENOMEM;
		free(start->control_path);
		start->control_path = there;
		snprintf(keeper->control_path, sizeof keeper->control_path, "%s", path);
		start_go_on_without(start, report);
		return 0;
	}
	if (r < 0)
		keeper->control_fd = start->ledger.control_fd = -1;
	if (fd < 0)
		return r;
	unlink(path);
	close(fd);
	return r;
}

/* The families' answers to the previous release are asked again, by a child. */
static int take_generation(struct start *start, uint32_t number, int old_fd,
			   struct generation **ret, struct report *report)
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
			if (ledger->generations[i].number > last &&
			    (!next || ledger->generations[i].number < next->number))
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

/* Sockets that were passed are recorded with the ledger. Those of an earlier start that were not
 * passed again are used as they were. */
void takeover_note_passed(struct ledger *ledger)
{
	const struct passed *passed;

	for (int i = 0; i < PASSED_MAX; i++) {
		int fd = ledger->keeper->passed[i].fd;

		if (!*ledger->keeper->passed[i].name || fd < 0)
			continue;
		ledger->keeper->passed[i].name[PASSED_NAME_MAX - 1] = '\0';
		/* What is not used any more has no owner: the sweep closes it. */
		if (!passed_find(ledger->keeper->passed[i].name))
			passed_add(ledger->keeper->passed[i].name, fd);
		ledger->keeper->passed[i].name[0] = '\0';
	}
	for (unsigned i = 0; (passed = passed_at(i)); i++) {
		memcpy(ledger->keeper->passed[i].name, passed->name, PASSED_NAME_MAX);
		ledger->keeper->passed[i].fd = passed->fd;
	}
}

/* Whether families of this directory can read all that was left. */
static int try_families(struct start *start, const struct ledger *predecessor, const char *dir,
			struct report *report)
{
	struct families families;
	int r = families_init(&families, dir, start->families.owner);

	for (int i = 0; i < LEDGER_GENERATIONS_MAX && r >= 0; i++) {
		if (!predecessor->generations[i].number)
			continue;
		r = prepare_answers(predecessor->generations[i].fd, &families, NULL, report);
		if (r >= 0)
			r = close(r);
	}
	families_done(&families);
	return r;
}

/* The file may name a directory that does not exist, or lacks a family that is in use and was
 * loaded from another. */
static int choose_families(struct start *start, const struct predecessor *predecessor,
			   struct report *report)
{
	const char *before =
		predecessor->boot ? predecessor->boot->daemon[DAEMON_PLUGIN_DIR].value.text : NULL;
	uid_t owner = start->families.owner;

	if (!before || start->plugin_dir || !strcmp(before, start->families.dir) ||
	    try_families(start, &predecessor->ledger, start->families.dir, report) >= 0)
		return 0;
	start_go_on_without(start, report);
	families_done(&start->families);
	return families_init(&start->families, before, owner);
}

static int make_ledger(struct start *start, const struct config *boot, int log_fd,
		       const struct ledger *old)
{
	uint32_t threads = start_count_threads(boot), sessions;

	/* Each of its threads may have listening sockets of its own, whose queues only a thread in
	 * its place serves. */
	if (threads < old->n_threads) {
		log_notice(
			"daemon.workers is %u: the %u existing threads remain until a stop, which ends the sessions",
			threads, old->n_threads);
		threads = old->n_threads;
	}
	sessions = start_count_sessions(boot, ledger_listeners_high(old), threads);
	return start_make_ledger(start, threads,
				 sessions > ledger_sessions_high(old) ? sessions
								      : ledger_sessions_high(old),
				 log_fd);
}

int takeover_run(struct start *start, const struct config *boot, int log_fd,
		 struct predecessor *predecessor, struct report *report)
{
	struct ledger *old = &predecessor->ledger;
	struct validation found;
	struct ledger_keeper read;
	int r = choose_families(start, predecessor, report);

	if (!r)
		r = make_ledger(start, boot, log_fd, old);
	if (!r)
		r = ledger_inherit(&start->ledger, old);
	if (r < 0)
		return r;
	ledger_done(old);
	*old = (struct ledger){.fd = -1};
	found = validate_sums(&start->ledger);
	takeover_note_passed(&start->ledger);
	start->took_over = true;
	read = *start->ledger.keeper;
	r = take_generations(start, report);
	if (!r) {
		validate_ledger(&start->ledger, start->generations);
		validate_log(&start->ledger, &found);
		listener_set_take_over(&start->ledger, start->generations);
		start_apply(start, start->generations->config);
		/* The files that it came from were read by another. */
		start->ledger.keeper->file_digest = read.file_digest;
		memcpy(start->ledger.keeper->unread, read.unread, sizeof read.unread);
	}
	if (!r && (strcmp(start->control_path, start->ledger.keeper->control_path) != 0 ||
		   !is_control_socket(start->ledger.control_fd)))
		r = move_control(start, boot, report);
	return r;
}
