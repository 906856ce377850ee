/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Control connections. A connection's descriptor is in its record; this file keeps the answer while
 * it is written. A request is peeked until it is complete, and only then consumed, so that a
 * worker's death in between does not lose it. An unread answer is kept for a minute. If all places
 * are taken, a new connection replaces the one that has been idle without a request longest, else
 * the one whose answer has been unread longest; never one that waits for a reload. For a short time
 * after its start a connection cannot be replaced; meanwhile new ones wait in the kernel's queue.
 */
#include "control/control.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/report.h"
#include "control/operate.h"
#include "control/refusal.h"
#include "control/verbs.h"
#include "control/wait.h"
#include "ledger/ledger.h"
#include "session/thread.h"

#include <errno.h>
#include <grp.h>
#include <jansson.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	CONNECTION_SECONDS = 60,
	BACKLOG = 16,
	UNDISTURBED_MS = 50, /* before a connection may be replaced by a new one, if nothing was
			      * asked, or read, meanwhile */
	WAITS_MAX = LEDGER_CONTROLS_MAX / 2, /* the rest: for other requests */
	WAIT_LOOK_MS = 50, /* between two looks at the target that is waited for */
	SHORTAGE_MS = 100, /* before accept(2) is tried again without a descriptor */
};

struct connection {
	struct timer timer;
	struct control *control;
	char *answer;
	size_t len, sent;
	struct wait wait; /* WAITING */
	uint64_t since;	  /* it came, or last read something, CLOCK_MONOTONIC ns */
	uint32_t serial;  /* of the descriptor that is watched; never reset between connections */
};

struct control {
	struct timer timer; /* while accepting is paused: when to try again */
	struct thread *clerk;
	struct ledger *ledger;
	bool full; /* accepting is paused */
	struct connection connections[LEDGER_CONTROLS_MAX];
	char request[CONTROL_REQUEST_MAX + 1];
};

static bool is_alive(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool refused = fd >= 0 &&
		       connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
		       errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return !refused;
}

static int make_way(const char *path, const struct sockaddr_un *address, struct report *report)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode)) {
		report_add(
			report,
			"control socket: %s exists and is not a socket; set another control.path",
			path);
		return -EEXIST;
	}
	if (is_alive(address)) {
		report_add(
			report,
			"control socket: another spliced listens on %s; stop it, or set another control.path",
			path);
		return -EADDRINUSE;
	}
	return unlink(path) < 0 ? -errno : 0;
}

static int set_owner(const char *path, unsigned mode, const char *group, struct report *report)
{
	struct group *entry = group && *group ? getgrnam(group) : NULL;
	const struct passwd *user = entry ? getpwuid(geteuid()) : NULL;

	if (group && *group && !entry) {
		report_add(report, "control socket: there is no group \"%s\"", group);
		return -EINVAL;
	}
	if (entry && chown(path, (uid_t)-1, entry->gr_gid) < 0) {
		int r = -errno;

		if (r == -EPERM)
			report_add(
				report,
				"control socket: cannot give %s to group \"%s\" (control.group): user %s is not a member: "
				"set SupplementaryGroups=%s in the unit, or run usermod -aG %s %s",
				path, group, user ? user->pw_name : "of this process", group, group,
				user ? user->pw_name : "USER");
		return r;
	}
	return chmod(path, mode) < 0 ? -errno : 0;
}

int control_listen(const char *path, unsigned mode, const char *group, struct report *report)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	unsigned errors = report->count;
	int fd, r;

	if (strlen(path) >= sizeof address.sun_path) {
		report_add(
			report,
			"control socket: %s is longer than %zu bytes; set a shorter control.path",
			path, sizeof address.sun_path - 1);
		return -ENAMETOOLONG;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = make_way(path, &address, report);
	/* No client can connect before listen(2), whatever the file's mode is until then. */
	if (!r && bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		r = -errno;
	if (!r)
		r = set_owner(path, mode, group, report);
	if (!r && listen(fd, BACKLOG) < 0)
		r = -errno;
	if (!r)
		return fd;
	if (report->count == errors)
		report_add(report, "control socket: %s: %s; set another control.path", path,
			   strerror(-r));
	close(fd);
	return r;
}

static uint32_t index_of(const struct connection *connection)
{
	return (uint32_t)(connection - connection->control->connections);
}

static struct ledger_control *record_of(const struct connection *connection)
{
	return &connection->control->ledger->controls[index_of(connection)];
}

static uint64_t name_of(const struct connection *connection)
{
	return loop_name(index_of(connection), connection->serial);
}

static void accept_again(struct control *control)
{
	if (!control->full)
		return;
	control->full = false;
	timer_clear(&control->clerk->loop.timers, &control->timer);
	loop_change(&control->clerk->loop, control->ledger->control_fd, EPOLLIN,
		    KIND_CONTROL_LISTENER, 0);
}

static void look_again(struct timer *timer)
{
	accept_again((struct control *)((char *)timer - offsetof(struct control, timer)));
}

/* Accepting is paused until then, or until a connection ends; 0: until one ends. */
static void hold_back(struct control *control, uint64_t until)
{
	control->full = true;
	loop_change(&control->clerk->loop, control->ledger->control_fd, 0, KIND_CONTROL_LISTENER,
		    0);
	if (until)
		timer_set(&control->clerk->loop.timers, &control->timer, until);
}

static void end(struct connection *connection)
{
	struct ledger_control *record = record_of(connection);
	int fd = record->fd;

	timer_clear(&connection->control->clerk->loop.timers, &connection->timer);
	free(connection->answer);
	connection->answer = NULL;
	connection->len = connection->sent = 0;
	record->fd = -1;
	atomic_store(&record->state, CONTROL_FREE);
	close(fd);
	accept_again(connection->control);
}

static void send_on(struct connection *connection)
{
	while (connection->sent < connection->len) {
		ssize_t n = send(record_of(connection)->fd, connection->answer + connection->sent,
				 connection->len - connection->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno != EINTR)
			break;
		connection->sent += n > 0 ? (size_t)n : 0;
		connection->since = connection->control->clerk->loop.now;
	}
	end(connection);
}

/* Takes the object over, and sends it. */
static void reply(struct connection *connection, json_t *object)
{
	struct loop *loop = &connection->control->clerk->loop;

	atomic_store(&record_of(connection)->state, CONTROL_ANSWERING);
	connection->answer = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	if (!connection->answer) {
		end(connection);
		return;
	}
	connection->since = loop->now;
	connection->len = strlen(connection->answer);
	connection->answer[connection->len++] = '\n'; /* in place of the NUL */
	loop_change(loop, record_of(connection)->fd, EPOLLOUT, KIND_CONTROL, name_of(connection));
	timer_set(&loop->timers, &connection->timer, loop->now + CONNECTION_SECONDS * NSEC_PER_SEC);
	send_on(connection);
}

/* Until the target is in the requested state, or the time is up. */
static void look_at_wait(struct connection *connection)
{
	struct loop *loop = &connection->control->clerk->loop;
	json_t *answer =
		wait_answer(&connection->wait, connection->control->clerk, record_of(connection));

	if (answer)
		reply(connection, answer);
	else
		timer_set(&loop->timers, &connection->timer,
			  loop->now + WAIT_LOOK_MS * NSEC_PER_MSEC);
}

static void expire(struct timer *timer)
{
	struct connection *connection =
		(struct connection *)((char *)timer - offsetof(struct connection, timer));

	if (record_of(connection)->state == CONTROL_WAITING)
		look_at_wait(connection);
	else
		end(connection);
}

static json_t *begin_wait(struct connection *connection, const json_t *request)
{
	struct control *control = connection->control;
	struct ledger_control *record = record_of(connection);
	unsigned count = 0;
	json_t *refusal;

	for (uint32_t i = 0; i < LEDGER_CONTROLS_MAX; i++)
		count += control->ledger->controls[i].state == CONTROL_WAITING;
	if (count >= WAITS_MAX)
		return refusal_say("%d others wait already; try again", WAITS_MAX);
	refusal = wait_ask(&connection->wait, control->clerk, request, record);
	if (!refusal)
		atomic_store(&record->state, CONTROL_WAITING);
	return refusal;
}

/* An heir may have to answer. */
static void ask_wait(struct connection *connection, const json_t *request)
{
	json_t *refusal = begin_wait(connection, request);

	if (refusal)
		reply(connection, refusal);
	else
		look_at_wait(connection);
}

static void answer_reload(struct connection *connection)
{
	const struct ledger_control *record = record_of(connection);

	if (atomic_load(&connection->control->ledger->keeper->reload_answered) >= record->asked)
		reply(connection, verb_reload_result(connection->control->ledger));
}

/* The keeper does it; the answer may be an heir's to give. */
static void ask_reload(struct connection *connection)
{
	struct ledger_keeper *keeper = connection->control->ledger->keeper;
	struct ledger_control *record = record_of(connection);
	uint64_t one = 1;

	timer_clear(&connection->control->clerk->loop.timers, &connection->timer);
	record->asked = atomic_load(&keeper->reload_asked) + 1;
	atomic_store(&record->state, CONTROL_RELOADING);
	atomic_store(&keeper->reload_asked, record->asked);
	if (write(connection->control->ledger->keeper_wake, &one, sizeof one) < 0)
		return; /* full: it is being woken already */
}

static bool is_for_keeper(const struct control *control, const char *verb)
{
	return (!strcmp(verb, "reload") || !strcmp(verb, "upgrade")) &&
	       getpid() != control->ledger->keeper_pid;
}

static void obey(struct connection *connection, const char *line)
{
	struct control *control = connection->control;
	json_error_t error;
	json_t *request = json_loads(line, 0, &error);
	const char *verb = json_string_value(json_object_get(request, "verb"));

	if (!verb) {
		end(connection);
	} else if (is_for_keeper(control, verb)) {
		/* Also of another connection: a reload does not undo this. */
		if (!strcmp(verb, "upgrade"))
			atomic_store(&control->ledger->keeper->upgrade_asked, 1);
		ask_reload(connection);
	} else if (!strcmp(verb, "wait")) {
		ask_wait(connection, request);
	} else {
		reply(connection, verb_answer(control->clerk, verb, request));
	}
	json_decref(request);
}

/* ended: the client sent EOF. Watched edge-triggered, because peeked data stays in the queue. */
static void read_request(struct connection *connection, bool ended)
{
	struct control *control = connection->control;
	int fd = record_of(connection)->fd;
	ssize_t n = recv(fd, control->request, CONTROL_REQUEST_MAX, MSG_PEEK | MSG_DONTWAIT);
	char *newline;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	newline = n > 0 ? memchr(control->request, '\n', (size_t)n) : NULL;
	if (n <= 0 || (!newline && (ended || n == CONTROL_REQUEST_MAX))) {
		end(connection);
		return;
	}
	if (!newline)
		return;
	atomic_store(&record_of(connection)->state, CONTROL_ANSWERING);
	if (recv(fd, control->request, (size_t)(newline - control->request) + 1, MSG_DONTWAIT) <
	    0) {
		end(connection);
		return;
	}
	*newline = '\0';
	obey(connection, control->request);
}

static void handle_connection(void *context, uint64_t name, uint32_t events)
{
	struct control *control = context;
	uint32_t index = loop_index(name);
	struct connection *connection = &control->connections[index];

	if (connection->serial != loop_serial(name))
		return;
	switch ((enum ledger_control_state)control->ledger->controls[index].state) {
	case CONTROL_FREE:
		return;
	case CONTROL_READING:
		read_request(connection, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
		return;
	case CONTROL_ANSWERING:
		send_on(connection);
		return;
	case CONTROL_RELOADING:
	case CONTROL_WAITING:
		if (events & (EPOLLHUP | EPOLLERR))
			end(connection); /* the client closed; further input does not matter */
		return;
	}
}

static int watch(struct control *control, uint32_t index)
{
	struct connection *connection = &control->connections[index];
	struct loop *loop = &control->clerk->loop;
	int r;

	connection->serial = loop_next_serial(connection->serial);
	r = loop_add(loop, control->ledger->controls[index].fd, EPOLLIN | EPOLLRDHUP | EPOLLET,
		     KIND_CONTROL, name_of(connection));
	connection->since = clock_monotonic();
	if (!r && control->ledger->controls[index].state == CONTROL_READING)
		timer_set(&loop->timers, &connection->timer,
			  clock_monotonic() + CONNECTION_SECONDS * NSEC_PER_SEC);
	return r;
}

static bool accept_connection(struct control *control, uint32_t index)
{
	struct ledger_control *record = &control->ledger->controls[index];
	int fd = accept4(control->ledger->control_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS;
	record->fd = fd;
	atomic_store(&record->state, CONTROL_READING);
	if (watch(control, index) < 0)
		end(&control->connections[index]);
	return true;
}

static struct connection *oldest(struct control *control, enum ledger_control_state state)
{
	struct connection *found = NULL;

	for (uint32_t i = 0; i < LEDGER_CONTROLS_MAX; i++)
		if (control->ledger->controls[i].state == state &&
		    (!found || control->connections[i].since < found->since))
			found = &control->connections[i];
	return found;
}

/* Ends the connection to be replaced, unless its request has arrived and its event has not been
 * handled yet. */
static void give_way(struct connection *connection)
{
	bool answering = record_of(connection)->state == CONTROL_ANSWERING;

	if (!answering)
		read_request(connection, true);
	if (answering || record_of(connection)->state == CONTROL_READING)
		end(connection);
}

/* 0: there is a place now; else until when none can be had, CLOCK_MONOTONIC ns; UINT64_MAX: until a
 * connection ends. */
static uint64_t make_room(struct control *control)
{
	for (int i = 0; i < LEDGER_CONTROLS_MAX; i++) {
		struct connection *connection = oldest(control, CONTROL_READING);
		uint64_t due;

		if (!connection)
			connection = oldest(control, CONTROL_ANSWERING);
		if (!connection)
			return UINT64_MAX;
		due = connection->since + UNDISTURBED_MS * NSEC_PER_MSEC;
		if (due > control->clerk->loop.now)
			return due;
		give_way(connection);
		if (record_of(connection)->state == CONTROL_FREE)
			return 0;
	}
	return UINT64_MAX;
}

static bool accept_into_free(struct control *control, bool *shortage)
{
	for (uint32_t i = 0; i < LEDGER_CONTROLS_MAX; i++)
		if (control->ledger->controls[i].state == CONTROL_FREE) {
			*shortage = !accept_connection(control, i);
			return true;
		}
	return false;
}

static void handle_listener(void *context, uint64_t unused, uint32_t events)
{
	struct control *control = context;
	bool shortage = false;
	uint64_t due;

	(void)unused, (void)events;
	if (accept_into_free(control, &shortage) && !shortage)
		return;
	due = make_room(control);
	if (!due && accept_into_free(control, &shortage) && !shortage)
		return;
	if (shortage)
		due = control->clerk->loop.now + SHORTAGE_MS * NSEC_PER_MSEC;
	hold_back(control, due == UINT64_MAX ? 0 : due);
}

static void handle_keeper(void *context, uint64_t unused, uint32_t events)
{
	struct control *control = context;
	uint64_t count;

	(void)unused, (void)events;
	if (read(control->ledger->clerk_wake, &count, sizeof count) < 0)
		return;
	for (uint32_t i = 0; i < LEDGER_CONTROLS_MAX; i++)
		if (control->ledger->controls[i].state == CONTROL_RELOADING)
			answer_reload(&control->connections[i]);
}

static void adopt_wait(struct connection *connection)
{
	wait_adopt(&connection->wait, connection->control->clerk, record_of(connection));
	look_at_wait(connection);
}

/* Connections of the previous worker. One whose answer was lost with it is closed: splicectl
 * reports this. */
static void adopt(struct control *control, uint32_t index)
{
	if (control->ledger->controls[index].state == CONTROL_ANSWERING ||
	    watch(control, index) < 0)
		end(&control->connections[index]);
	else if (control->ledger->controls[index].state == CONTROL_RELOADING)
		answer_reload(&control->connections[index]);
	else if (control->ledger->controls[index].state == CONTROL_WAITING)
		adopt_wait(&control->connections[index]);
}

int control_new(struct control **ret, struct thread *clerk)
{
	struct control *control = calloc(1, sizeof *control);
	int r = 0;

	if (!control)
		return -ENOMEM;
	control->clerk = clerk;
	control->ledger = clerk->worker->ledger;
	control->timer.fire = look_again;
	loop_handle(&clerk->loop, KIND_CONTROL_LISTENER, handle_listener, control);
	loop_handle(&clerk->loop, KIND_CONTROL, handle_connection, control);
	loop_handle(&clerk->loop, KIND_KEEPER, handle_keeper, control);
	for (uint32_t i = 0; i < LEDGER_CONTROLS_MAX; i++) {
		control->connections[i].control = control;
		control->connections[i].timer.fire = expire;
		if (control->ledger->controls[i].state != CONTROL_FREE)
			adopt(control, i);
	}
	operate_keep(control->ledger, clerk->worker->generations);
	r = loop_add(&clerk->loop, control->ledger->clerk_wake, EPOLLIN, KIND_KEEPER, 0);
	if (!r && control->ledger->control_fd >= 0)
		r = loop_add(&clerk->loop, control->ledger->control_fd, EPOLLIN,
			     KIND_CONTROL_LISTENER, 0);
	if (r < 0) {
		free(control);
		return r;
	}
	*ret = control;
	return 0;
}

struct control *control_free(struct control *control)
{
	free(control);
	return NULL;
}
