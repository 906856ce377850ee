/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is held. An owner is written down for each descriptor number that a record, the keeper or a
 * thread names; then the table itself is read. This shows what is open without an owner, named but
 * not open, or named by two. Pipes in a thread's pool are known by their number only: the thread
 * lends and takes back while we look.
 */
#include "control/held.h"

#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "session/session.h"
#include "session/thread.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum owner {
	OWNER_NONE,
	OWNER_DAEMON,
	OWNER_CONTROL,
	OWNER_GENERATION,
	OWNER_LISTENER,
	OWNER_SESSION,
	OWNER_LENT,
	OWNER_CHECK,
	OWNERS
};

enum { TABLE_MAX = 1 << 20, OWNER_OPEN = 128 /* beside the owner: the descriptor is open */ };

struct holdings {
	uint8_t *owners; /* enum owner, by descriptor */
	int size;
	uint32_t doubled, open[OWNERS];
};

static void own(struct holdings *held, int fd, enum owner owner)
{
	if (fd < 0 || fd >= held->size)
		return;
	held->doubled += held->owners[fd] != OWNER_NONE;
	held->owners[fd] = (uint8_t)owner;
}

static void own_listeners(struct holdings *held, const struct ledger *ledger)
{
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		for (uint32_t k = 0; ledger->listeners[i].state != LISTENER_FREE &&
				     k < ledger_sockets(&ledger->listeners[i]);
		     k++)
			own(held, ledger->listeners[i].fds[k], OWNER_LISTENER);
}

static void own_sessions(struct holdings *held, const struct worker *worker)
{
	const struct ledger *ledger = worker->ledger;

	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++) {
		const struct ledger_session *record = &ledger->sessions[i];

		for (int k = 0; record->state > SESSION_CLAIMED && k < 2; k++) {
			own(held, record->fd[k], OWNER_SESSION);
			own(held, record->direction[k].pipe, OWNER_LENT);
			own(held, record->stage[k], OWNER_LENT);
		}
		for (int k = 0; record->state == SESSION_CONNECTING && k < SESSION_RIVALS; k++)
			own(held, (int)worker->sessions[i].rivals[k].fd - 1, OWNER_SESSION);
	}
}

static void own_checks(struct holdings *held, const struct ledger *ledger)
{
	for (uint32_t i = 0; i < ledger_targets_high(ledger); i++)
		own(held, (int)ledger->targets[i].check.fd - 1, OWNER_CHECK);
}

static void own_control(struct holdings *held, const struct ledger *ledger)
{
	own(held, ledger->keeper->control_fd, OWNER_CONTROL);
	for (int i = 0; i < LEDGER_CONTROLS_MAX; i++)
		if (ledger->controls[i].state != CONTROL_FREE)
			own(held, ledger->controls[i].fd, OWNER_CONTROL);
}

static void own_daemon(struct holdings *held, const struct worker *worker)
{
	const struct ledger_keeper *keeper = worker->ledger->keeper;

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		own(held, fd, OWNER_DAEMON);
	for (int i = 0; i < LEDGER_KEEPER_FDS; i++)
		if (keeper->fds[i] > STDERR_FILENO) /* the log's may be one of the first three */
			own(held, keeper->fds[i], OWNER_DAEMON);
	for (uint32_t i = 0; i <= worker->n_threads; i++) {
		own(held, worker->threads[i].loop.epoll_fd, OWNER_DAEMON);
		own(held, worker->threads[i].wake_fd, OWNER_DAEMON);
	}
	own(held, worker->ledger->fd, OWNER_DAEMON);
	own(held, keeper->keeper_wake, OWNER_DAEMON);
	own(held, keeper->clerk_wake, OWNER_DAEMON);
	for (int i = 0; i < PASSED_MAX; i++) {
		int fd = *keeper->passed[i].name ? keeper->passed[i].fd : -1;

		if (fd >= 0 && fd < held->size &&
		    held->owners[fd] == OWNER_NONE) /* else it is in use */
			own(held, fd, OWNER_DAEMON);
	}
}

static void own_all(struct holdings *held, const struct worker *worker)
{
	const struct ledger *ledger = worker->ledger;

	own_listeners(held, ledger);
	own_sessions(held, worker);
	own_checks(held, ledger);
	own_control(held, ledger);
	for (int i = 0; i < LEDGER_GENERATIONS_MAX; i++)
		if (ledger->generations[i].number)
			own(held, ledger->generations[i].fd, OWNER_GENERATION);
	own_daemon(held, worker);
}

static void note_open(struct holdings *held, int fd)
{
	held->open[fd < held->size ? held->owners[fd] : OWNER_NONE]++;
	if (fd < held->size)
		held->owners[fd] |= OWNER_OPEN;
}

/* If no descriptor is free to read the directory with, each number is tested. */
static void look_at_table(struct holdings *held)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	for (int fd = 0; !dir && fd < held->size; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			note_open(held, fd);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir))
			note_open(held, atoi(entry->d_name));
	if (dir)
		closedir(dir);
}

static uint32_t count_closed(const struct holdings *held)
{
	uint32_t count = 0;

	for (int fd = STDERR_FILENO + 1; fd < held->size; fd++)
		count += held->owners[fd] != OWNER_NONE && !(held->owners[fd] & OWNER_OPEN);
	return count;
}

static uint32_t count_pooled(const struct worker *worker)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i <= worker->n_threads; i++)
		count += atomic_load_explicit(&worker->threads[i].pipes.pooled,
					      memory_order_relaxed);
	return count;
}

json_t *held_descriptors(const struct worker *worker)
{
	struct holdings held = {0};
	struct rlimit limit = {0};
	uint32_t pooled = count_pooled(worker), open = 0;

	getrlimit(RLIMIT_NOFILE, &limit);
	held.size = limit.rlim_cur < TABLE_MAX ? (int)limit.rlim_cur : TABLE_MAX;
	held.owners = calloc(1, (size_t)held.size);
	if (!held.owners)
		return NULL;
	own_all(&held, worker);
	look_at_table(&held);
	for (int i = 0; i < OWNERS; i++)
		open += held.open[i];
	json_t *object = json_pack(
		"{s:i, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "open",
		(int)open, "limit", (json_int_t)limit.rlim_cur, "daemon",
		(int)held.open[OWNER_DAEMON], "control", (int)held.open[OWNER_CONTROL],
		"generations", (int)held.open[OWNER_GENERATION], "listeners",
		(int)held.open[OWNER_LISTENER], "sessions", (int)held.open[OWNER_SESSION], "lent",
		(int)held.open[OWNER_LENT], "checks", (int)held.open[OWNER_CHECK], "pooled",
		(int)pooled, "unowned", (int)held.open[OWNER_NONE] - (int)pooled, "closed",
		(int)count_closed(&held), "doubled", (int)held.doubled);
	free(held.owners);
	return object;
}

json_t *held_records(const struct worker *worker)
{
	const struct ledger *ledger = worker->ledger;
	int sessions = 0, listeners = 0, leaving = 0, controls = 0, generations = 0, routes = 0,
	    targets = 0, places = 0, of_threads = 0;

	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++)
		sessions += ledger->sessions[i].state != SESSION_FREE;
	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++) {
		listeners += ledger->listeners[i].state != LISTENER_FREE;
		leaving += ledger->listeners[i].state == LISTENER_LEAVING;
	}
	for (int i = 0; i < LEDGER_CONTROLS_MAX; i++)
		controls += ledger->controls[i].state != CONTROL_FREE;
	for (int i = 0; i < LEDGER_GENERATIONS_MAX; i++)
		generations += ledger->generations[i].number != 0;
	for (uint32_t i = 0; i < ledger_routes_high(ledger); i++) {
		routes += ledger->routes[i].used != 0;
		places += ledger->routes[i].used ? (int)ledger->routes[i].active : 0;
	}
	for (uint32_t i = 0; i < ledger_targets_high(ledger); i++)
		targets += ledger->targets[i].used != 0;
	for (uint32_t i = 0; i <= ledger->n_threads; i++)
		of_threads += (int)ledger->threads[i].sessions;
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "sessions", sessions,
			 "listeners", listeners, "leaving", leaving, "controls", controls,
			 "generations", generations, "routes", routes, "targets", targets, "places",
			 places, "of_threads", of_threads);
}
