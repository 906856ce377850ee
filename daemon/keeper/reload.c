/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reloads and upgrades: the keeper's steps from one configuration, or program, to the next. */
#include "keeper/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "keeper/blame.h"
#include "keeper/changes.h"
#include "keeper/errand.h"
#include "keeper/files.h"
#include "keeper/handover.h"
#include "keeper/listener_set.h"
#include "keeper/service.h"
#include "keeper/sidecar.h"
#include "keeper/start.h"
#include "language/input.h"
#include "ledger/generation.h"
#include "ledger/original.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STOP_SECONDS = 5 /* a planned stop that takes longer becomes a kill */ };

static void wake_clerk(const struct keeper *keeper)
{
	uint64_t one = 1;

	if (write(keeper->ledger->clerk_wake, &one, sizeof one) < 0)
		return; /* full: it is being woken already */
}

void reload_answer(struct keeper *keeper, bool ok, bool changed, const struct report *report)
{
	static const struct log_entry reloaded = {.event = EVENT_RELOADED},
				      refused = {.event = EVENT_RELOAD_REFUSED};
	struct ledger_keeper *record = keeper->ledger->keeper;

	original_restore_reload(keeper->ledger);
	snprintf(keeper->ledger->text, LEDGER_TEXT_MAX, "%s",
		 report && report->text ? report->text : "");
	record->reload_ok = ok;
	record->reload_changed = changed;
	record->reload_at = clock_realtime();
	atomic_fetch_add(ok ? &record->reloads_ok : &record->reloads_failed, 1);
	if (ok && changed)
		log_event(LOG_NOTICE, &reloaded, "reloaded: generation %u", record->generation);
	else if (ok)
		log_event(LOG_NOTICE, &reloaded, "reloaded: nothing has changed");
	else
		log_event(LOG_ERR, &refused,
			  "reload refused; the running configuration continues unchanged");
	if (!ok)
		log_lines(LOG_ERR, "", report ? report->text : NULL);
	if (!ok && listener_set_complete(keeper->ledger, keeper->start->generations))
		keeper->ticks = ABSENCE_TICKS - 1;
	atomic_store(&record->reload_answered, keeper->asked);
	original_note_reload(keeper->ledger);
	wake_clerk(keeper);
	service_ready(keeper->ledger, keeper->start->generations);
}

static void end_refusal(struct keeper *keeper)
{
	keeper->refusing = false;
	reload_answer(keeper, false, false, &keeper->refusal);
	report_done(&keeper->refusal);
}

/* Undoes all that was prepared: records that were free before are free again. */
static void refuse_reload(struct keeper *keeper, struct generation *generation,
			  struct report *report)
{
	generation_free(generation, keeper->ledger);
	generations_trim(keeper->start->generations, keeper->ledger);
	keeper->refusing = true;
	keeper->refusal = *report;
	*report = (struct report){0};
	if (!errand_is_under_way())
		end_refusal(keeper);
}

static const char no_file[] =
	"the configuration was read from standard input, or a pipe, so that there is no file to reload; write it to a file, and "
	"start with -c FILE";

void reload_begin(struct keeper *keeper)
{
	struct report report = {0};
	int r;

	service_reloading();
	keeper->own_idea = keeper->took_over;
	keeper->wanted = keeper->took_over = false;
	keeper->asked = atomic_load(&keeper->ledger->keeper->reload_asked);
	if (input_is_read_once(keeper->start->path)) {
		report_add(&report, "%s", no_file);
		reload_answer(keeper, false, false, &report);
		report_done(&report);
		return;
	}
	r = prepare_start(&keeper->prepare, keeper->start->path, keeper->lenient,
			  &keeper->start->families, keeper->ledger);
	keeper->lenient = false;
	if (!r)
		return;
	if (r == -ENOSPC)
		report_add(
			&report,
			"too many earlier configurations are still in use; wait until some of their sessions, or closing "
			"listeners, have ended");
	else
		report_add(&report, "cannot check the configuration: %s", strerror(-r));
	reload_answer(keeper, false, false, &report);
	report_done(&report);
}

/* Upgrade: the program's file as it is now is checked by a child; then the worker stops, and we
 * become the new program, which reads the configuration again and gives the answer. */

static void refuse_upgrade(struct keeper *keeper, const struct report *report)
{
	log_error("not upgraded: spliced %s continues", PACKAGE_VERSION);
	reload_answer(keeper, false, false, report);
}

void upgrade_begin(struct keeper *keeper)
{
	struct report report = {0};
	int r;

	service_reloading();
	keeper->upgrade.wanted = false;
	atomic_store(&keeper->ledger->keeper->upgrade_asked, 0);
	keeper->asked = atomic_load(&keeper->ledger->keeper->reload_asked);
	r = input_is_read_once(keeper->start->path)
		    ? -ESPIPE
		    : handover_check(&keeper->prepare, keeper->ledger, keeper->start);
	keeper->upgrade.checking = !r;
	if (!r)
		return;
	if (r == -ESPIPE)
		report_add(&report, "%s", no_file);
	else
		report_add(&report, "cannot check the new program: %s", strerror(-r));
	refuse_upgrade(keeper, &report);
	report_done(&report);
}

void upgrade_end_check(struct keeper *keeper, int status)
{
	struct report report = {0};
	int r = prepare_finish(&keeper->prepare, status, keeper->ledger, &report);

	keeper->upgrade.checking = false;
	keeper->upgrade.leaving = !r;
	if (r)
		refuse_upgrade(keeper, &report);
	report_done(&report);
}

/* No worker runs. Returns only if nothing came of it. */
void upgrade_become_new(struct keeper *keeper)
{
	struct report report = {0};
	int r;

	keeper->upgrade.leaving = false;
	log_notice("upgrade: spliced %s is replaced by the current file", PACKAGE_VERSION);
	sidecar_stop();
	validate_ledger(keeper->ledger, keeper->start->generations);
	r = handover_exec(keeper->ledger, keeper->start->arguments);
	report_add(&report, "cannot run the new program: %s", strerror(-r));
	refuse_upgrade(keeper, &report);
	report_done(&report);
}

void keeper_stop_worker(struct keeper *keeper, enum keeper_state state)
{
	keeper->state = state;
	keeper->deadline = clock_monotonic() + STOP_SECONDS * NSEC_PER_SEC;
	kill(keeper->worker, SIGTERM);
}

/* Listeners that waited for a family, or a device; and a file that has taken the place of one that
 * the worker may read. */
void reload_try_listeners(struct keeper *keeper)
{
	listener_set_try(keeper->ledger, keeper->start->generations);
	keeper->trying = true;
}

static void end_attempt(struct keeper *keeper)
{
	bool come = listener_set_has_come(keeper->ledger);

	keeper->trying = false;
	if (keeper->state != KEEPER_RUNNING ||
	    (!come && !files_are_replaced(keeper->ledger, keeper->start->generations)))
		return;
	log_notice(come ? "a listener that was waiting can be opened now"
			: "a file of names was replaced: a new worker reads it");
	keeper->come = true;
	keeper_stop_worker(keeper, KEEPER_STOPPING);
}

static bool waits_for_names(const struct generation *generation)
{
	for (unsigned i = 0; i < generation->config->n_routes; i++) {
		const struct config_route *route = &generation->config->routes[i];

		if (route->enabled && (route->waits_for_names || route->waits_for_hosts))
			return true;
	}
	return false;
}

void reload_look_for_file(struct keeper *keeper)
{
	char *unread = keeper->ledger->keeper->unread;

	if (!*unread || !config_can_read(unread))
		return;
	log_notice("%s can be read now", unread);
	*unread = '\0';
	original_note_words(keeper->ledger, unread, sizeof keeper->ledger->keeper->unread);
	keeper->wanted = keeper->lenient = true;
}

void reload_look_for_names(struct keeper *keeper)
{
	const struct generation *newest = keeper->start->generations;

	keeper->naming = waits_for_names(newest) &&
			 !prepare_start_names(&keeper->prepare, newest->fd,
					      &keeper->start->families, keeper->ledger);
}

/* The start could not apply the file, and has continued with the old configuration. */
static int refuse_at_once(struct start *start, int fd, struct report *report)
{
	start_go_on_without(start, report);
	*report = start->refusal;
	start->refusal = (struct report){0};
	if (fd >= 0)
		close(fd);
	return -EINVAL;
}

void reload_end_prepare(struct keeper *keeper, int status)
{
	struct start *start = keeper->start;
	struct report report = {0};
	struct generation *generation = NULL;
	int fd, r;

	fd = r = prepare_finish(&keeper->prepare, status, keeper->ledger, &report);
	if (start->refusal.text) {
		fd = r = refuse_at_once(start, fd, &report);
	} else if (keeper->naming) {
		keeper->naming = false;
		keeper->own_idea = true;
		if (fd < 0) {
			report_done(&report); /* they are looked for again */
			return;
		}
		log_notice("names that routes waited for are known now");
	}
	if (fd >= 0) {
		log_lines(LOG_WARNING, "", report.text);
		report_done(&report);
	}
	if (fd >= 0)
		r = generation_new(&generation, start->generations->number + 1, fd,
				   &start->families, keeper->ledger, &report);
	if (r >= 0)
		generation->next = start->generations; /* what is kept is theirs */
	if (r >= 0 && generation->config->digest == start->generations->config->digest &&
	    !keeper->renew && !blame_is_pausing(keeper->ledger, start->generations)) {
		start_note_files(start, generation->config);
		generation_free(generation, keeper->ledger);
		reload_answer(keeper, true, false, NULL);
		if (keeper->state == KEEPER_RUNNING)
			reload_try_listeners(keeper);
	} else if (r >= 0 && listener_set_prepare(keeper->ledger, generation, &report) >= 0) {
		keeper->opening = generation;
	} else {
		refuse_reload(keeper, r >= 0 ? generation : NULL, &report);
	}
	report_done(&report);
}

/* Its listeners have been opened, or not. */
static void end_opening(struct keeper *keeper)
{
	struct generation *generation = keeper->opening;
	struct report report = {0};

	keeper->opening = NULL;
	if (listener_set_prepared(keeper->ledger, generation, &report) < 0) {
		refuse_reload(keeper, generation, &report);
	} else {
		keeper->prepared = generation;
		if (keeper->state == KEEPER_RUNNING)
			keeper_stop_worker(keeper, KEEPER_STOPPING);
	}
	report_done(&report);
}

/* All is done when the heir serves, and families have done their part for what changed and what
 * leaves. */
void reload_answer_if_due(struct keeper *keeper)
{
	if (!keeper->answer_due || errand_is_under_way() ||
	    keeper->ledger->keeper->worker_state != WORKER_READY)
		return;
	keeper->answer_due = false;
	reload_answer(keeper, true, true, NULL);
}

void reload_end_errand(struct keeper *keeper)
{
	if (keeper->refusing)
		end_refusal(keeper);
	else if (keeper->opening)
		end_opening(keeper);
	else if (keeper->trying)
		end_attempt(keeper);
	else
		reload_answer_if_due(keeper);
}

/* No worker runs: the prepared generation becomes the one that runs. */
static void commit(struct keeper *keeper)
{
	struct start *start = keeper->start;
	struct generation *generation = keeper->prepared;

	keeper->prepared = NULL;
	keeper->renew = false;
	generation->next = start->generations;
	start->generations = generation;
	keeper->ledger->keeper->generation = generation->number;
	listener_set_commit(keeper->ledger, generation);
	blame_forgive(keeper->ledger, generation, !keeper->own_idea);
	start_apply(start, generation->config);
	changes_log(generation->next->config, generation->config);
	start->settled = true;
	generations_trim(generation, keeper->ledger);
	keeper->ticks = ABSENCE_TICKS - 1;
	keeper->answer_due = true;
}

/* No worker runs: performs what was waiting for that. */
void reload_settle(struct keeper *keeper)
{
	if (keeper->prepared)
		commit(keeper);
	if (keeper->come)
		listener_set_open(keeper->ledger, keeper->start->generations);
	blame_pause(keeper->ledger, keeper->start->generations);
	keeper->come = false;
	original_note(keeper->ledger);
}
