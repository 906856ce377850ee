/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/opening.h"

#include "base/log.h"
#include "config/config.h"
#include "keeper/binding.h"
#include "keeper/job.h"
#include "keeper/ports.h"
#include "ledger/generation.h"
#include "ledger/original.h"
#include "net/family.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
	JOB_SECONDS = 20,
	JOB_SECONDS_AT_THE_END = 5,
};

/* What is to be done by a child. */
static struct jobs jobs;

static struct job job_of(const struct ledger *ledger, enum job_kind kind,
			 const struct ledger_listener *record, const struct wanted *wanted)
{
	return (struct job){.kind = kind,
			    .config = wanted->config,
			    .route = wanted->route,
			    .endpoint = wanted->endpoint,
			    .leg = wanted->leg,
			    .record = (uint32_t)(record - ledger->listeners)};
}

static void close_fds(struct ledger_listener *record)
{
	for (uint32_t k = 0; k < ledger_sockets(record); k++) {
		int fd = record->fds[k];

		record->fds[k] = -1;
		if (fd >= 0)
			close(fd);
	}
}

static void fill_record(struct ledger_listener *record, const struct wanted *wanted,
			const struct generation *generation, uint32_t readers)
{
	uint32_t shared = record->shared;

	/* Its place in the configuration must not change while it waits, not even for a moment:
	 * others look it up (ledger/glance.h). */
	memset(&record->digest, 0, sizeof *record - offsetof(struct ledger_listener, digest));
	record->shared = shared;
	record->generation = generation->number;
	record->route = wanted->route_index;
	record->endpoint = wanted->endpoint_index;
	record->leg = wanted->leg_index;
	record->deaths = 0;
	record->digest = config_leg_digest(wanted->endpoint, wanted->leg);
	record->live_digest = config_leg_live_digest(wanted->endpoint, wanted->leg);
	record->n_fds = readers;
	for (uint32_t k = 0; k < readers; k++)
		record->fds[k] = -1;
}

/* Whether several sockets may be bound to its address: those of our threads, and one that leaves
 * beside one that comes. */
bool wanted_shares_port(const struct wanted *wanted)
{
	return wanted->leg->row->capabilities & SPLICED_READERS && !job_is_passed(wanted->endpoint);
}

/* Whether each thread gets a socket of its own. Each socket that is bound to a group's address
 * would get every datagram. */
bool wanted_is_for_each(const struct wanted *wanted)
{
	return wanted_shares_port(wanted) && !address_is_multicast(&wanted->leg->address);
}

/* A job on the sockets of a record, as configured in its generation. Without memory it is not
 * done, which is logged. */
void opening_add(struct ledger *ledger, enum job_kind kind, const struct ledger_listener *record,
		 struct generation *newest)
{
	const struct generation *generation = generation_find(newest, record->generation);
	const struct config_leg *leg = generation_listens_by(newest, record);
	struct job job;

	if (!generation || !leg || job_is_passed(generation_listens(newest, record)))
		return;
	job = (struct job){.kind = kind,
			   .config = generation->config,
			   .route = generation_route(newest, record->generation, record->route),
			   .endpoint = generation_listens(newest, record),
			   .leg = leg,
			   .record = (uint32_t)(record - ledger->listeners),
			   .n = ledger_sockets(record),
			   .fds = (int *)record->fds};
	if (jobs_add(&jobs, &job) < 0)
		log_warning("route %s: no memory to continue with %s", job.route->name,
			    job.endpoint->text);
}

/* What its sockets leave behind: a name in the file system, what was set in the kernel. */
void opening_remove_traces(struct ledger *ledger, const struct ledger_listener *record,
			   struct generation *newest)
{
	const struct config_leg *leg = generation_listens_by(newest, record);

	if (leg && (leg->family->plugin.unlink || leg->family->plugin.release))
		opening_add(ledger, JOB_LEAVE, record, newest);
}

/* What was added as jobs is begun. */
void opening_send(struct ledger *ledger, bool ends)
{
	uint32_t n = jobs.n;
	int r = errand_start(ledger, &jobs, ends ? JOB_SECONDS_AT_THE_END : JOB_SECONDS, NULL);

	if (r)
		log_warning(
			"cannot start the families' callbacks for %u listeners that change or close: %s",
			n, strerror(-r));
}

void opening_take_back(struct ledger *ledger, struct ledger_listener *record)
{
	original_restore_listener(ledger, record);
	close_fds(record);
	atomic_store(&record->state, LISTENER_FREE);
	original_note_listener(ledger, record);
}

static uint32_t count_readers(const struct ledger *ledger, const struct ledger_listener *record,
			      const struct wanted *wanted)
{
	return wanted_is_for_each(wanted) && !record->shared ? ledger->n_threads : 1;
}

static int add_open(struct ledger *ledger, struct ledger_listener *record,
		    const struct wanted *wanted)
{
	struct job job = job_of(ledger, JOB_OPEN, record, wanted);

	job.n = ledger_sockets(record);
	job.share = wanted_shares_port(wanted);
	/* A group is shared with other programs. */
	job.probe = job.share && !address_is_multicast(&wanted->leg->address) &&
		    !ports_has(ledger, &wanted->leg->address);
	ports_note(&wanted->leg->address);
	original_note_listener(ledger, record);
	return jobs_add(&jobs, &job);
}

int opening_ask(struct ledger *ledger, struct ledger_listener *record, const struct wanted *wanted,
		const struct generation *generation)
{
	fill_record(record, wanted, generation, count_readers(ledger, record, wanted));
	atomic_store(&record->state, LISTENER_PENDING);
	return add_open(ledger, record, wanted);
}

int opening_ask_again(struct ledger *ledger, struct ledger_listener *record,
		      const struct wanted *wanted)
{
	for (uint32_t k = 0; k < LEDGER_THREADS_MAX - 1; k++)
		record->fds[k] = -1;
	record->n_fds = count_readers(ledger, record, wanted);
	return add_open(ledger, record, wanted);
}

/* In place of sockets, what is waited for. */
void opening_wait(struct ledger *ledger, struct ledger_listener *record, int error,
		  enum ledger_listener_state state)
{
	record->n_fds = 0;
	record->waits = -error;
	atomic_store(&record->state, state);
	original_note_listener(ledger, record);
}

void opening_take_socket(struct ledger *ledger, const struct job *job, uint32_t k, int fd)
{
	struct ledger_listener *record = &ledger->listeners[job->record];
	bool is_asked;

	original_restore_listener(ledger, record);
	is_asked = record->state == LISTENER_PENDING || record->state == LISTENER_WAITING;
	if (is_asked && k < ledger_sockets(record) && record->fds[k] < 0)
		record->fds[k] = fd;
	else
		close(fd);
	original_note_listener(ledger, record);
}

void opening_wait_again(struct ledger *ledger, struct ledger_listener *record, int error)
{
	original_restore_listener(ledger, record);
	close_fds(record);
	opening_wait(ledger, record, error, LISTENER_WAITING);
}

/* What its sockets hang on is looked at from now on. */
void opening_note_place(struct ledger *ledger, const struct job *job)
{
	struct ledger_listener *record = &ledger->listeners[job->record];

	binding_note(record, job->leg);
	original_note_listener(ledger, record);
}

/* The child that was to open it did not finish: what it may have bound by then has left a name. */
void opening_leave_unfinished(const struct job *job, int r)
{
	struct job leave = *job;

	if (job->kind != JOB_OPEN || (r != -EOWNERDEAD && r != -ECANCELED) ||
	    job_is_passed(job->endpoint))
		return;
	leave.kind = JOB_LEAVE;
	leave.n = 0;
	if (jobs_add(&jobs, &leave) < 0)
		log_warning("route %s: no memory to clean up after %s", job->route->name,
			    job->endpoint->text);
}

int opening_try_options(struct ledger *ledger, const struct ledger_listener *record,
			const struct wanted *wanted)
{
	struct job job = job_of(ledger, JOB_TRY, record, wanted);

	return jobs_add(&jobs, &job);
}

int opening_start(struct ledger *ledger, int error, const struct errand_taker *taker)
{
	int r = error ? error : errand_start(ledger, &jobs, JOB_SECONDS, taker);

	jobs_free(&jobs);
	return r;
}

void opening_wait_for_place(struct ledger *ledger, struct ledger_listener *record,
			    const struct wanted *wanted, const struct generation *generation,
			    int error)
{
	fill_record(record, wanted, generation, 0);
	opening_wait(ledger, record, error, LISTENER_WAITING);
}

void opening_hold(struct ledger *ledger, struct ledger_listener *record,
		  const struct wanted *wanted, const struct generation *generation, int error)
{
	fill_record(record, wanted, generation, 0);
	opening_wait(ledger, record, error, LISTENER_PENDING);
	if (wanted->route->waits_for_names)
		log_warning(
			"route %s: a user or group of its rules is unknown here: the route waits for it",
			wanted->route->name);
	else
		log_warning("route %s: listen: \"%s\" does not resolve now: the route waits for it",
			    wanted->route->name, wanted->leg->host_name);
}
