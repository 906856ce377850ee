/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asking. Always true: a socket is in the target's record from its first line on, until it is taken
 * out to be closed; what is read is bounded, and so is the time. All addresses of a target are
 * tried within that time, as a session tries them.
 */
#include "dispatch/health_ask.h"

#include "base/clock.h"
#include "base/report.h"
#include "base/text.h"
#include "dispatch/health_judge.h"
#include "dispatch/target.h"
#include "ledger/ledger.h"
#include "net/fault.h"
#include "net/scope.h"
#include "net/socket.h"
#include "session/endpoint_socket.h"
#include "session/hand.h"
#include "session/thread.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FULL_BACKLOG_MS = 10 /* before a UNIX listener whose backlog is full is asked again */ };

static const struct config_health *health_of(const struct health_ask *ask)
{
	return ask->place->endpoint->health;
}

static struct loop *loop_of(const struct health_ask *ask)
{
	return &ask->place->clerk->loop;
}

static struct ledger *ledger_of(const struct health_ask *ask)
{
	return ask->place->clerk->worker->ledger;
}

static _Atomic uint32_t *record_of(const struct health_ask *ask)
{
	return &ledger_of(ask)->targets[ask->place->slot].check.fd;
}

static const struct spliced_row *row_of(const struct health_ask *ask)
{
	return ask->place->endpoint->legs[0].row;
}

static void close_socket(struct health_ask *ask)
{
	int fd = ask->fd;

	ask->fd = -1;
	ask->connected = false;
	ask->sent = ask->len = 0;
	if (fd < 0)
		return;
	loop_remove(loop_of(ask), fd);
	atomic_store(record_of(ask), 0);
	close(fd);
}

static void finish(struct health_ask *ask, enum health_result result, const char *error)
{
	health_ask_stop(ask);
	ask->done(ask, result, error);
}

static void finish_late(struct health_ask *ask)
{
	char text[64], duration[TEXT_NUMBER_MAX];

	snprintf(text, sizeof text, "%s within %s", ask->connected ? "no answer" : "not connected",
		 text_format_duration((int64_t)health_of(ask)->timeout, duration));
	finish(ask, HEALTH_WRONG, text);
}

/* The family's reason for refusing is logged by sessions of the route. */
static int open_socket(const struct health_ask *ask, unsigned leg)
{
	const struct health_place *place = ask->place;
	struct report report = {0};
	int fd;

	hand_route(place->clerk, place->route_slot);
	config_hear(place->config, place->route, place->endpoint, &place->endpoint->legs[leg],
		    &report);
	fd = endpoint_socket_open(place->endpoint, leg);
	config_hear_nothing();
	hand_empty(place->clerk);
	report_done(&report);
	return fd;
}

/* To answer a datagram, the target needs its sender's address. */
static bool wants_name(const struct health_ask *ask, const struct address *address)
{
	return address->storage.ss_family == AF_UNIX &&
	       row_of(ask)->capabilities & SPLICED_CONNECTIONLESS;
}

static int connect_socket(struct health_ask *ask, unsigned leg, struct address *address)
{
	int r = scope_fill(ask->fd, ask->place->endpoint->legs[leg].interface, address, address);

	if (!r && health_of(ask)->port)
		address_set_port(address, health_of(ask)->port);
	if (!r && wants_name(ask, address))
		r = socket_take_name(ask->fd);
	if (!r)
		r = socket_connect(ask->fd, address);
	if (r && r != -EINPROGRESS)
		return r;
	ask->connected = !r && row_of(ask)->capabilities & SPLICED_CONNECTIONLESS;
	ask->serial = loop_next_serial(ask->serial);
	return loop_add(loop_of(ask), ask->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
			KIND_HEALTH, loop_name(ask->index, ask->serial));
}

/* Tries one of `count` addresses. 0: it is in progress. */
static int try_address(struct health_ask *ask, unsigned count)
{
	uint64_t now = loop_of(ask)->now;
	struct address address;
	unsigned leg;
	int r;

	if (!target_address(ledger_of(ask), ask->place->endpoint, ask->place->slot, ask->address,
			    &leg, &address))
		return -EADDRNOTAVAIL;
	ask->fd = open_socket(ask, leg);
	if (ask->fd < 0)
		return ask->fd;
	atomic_store(record_of(ask), (uint32_t)ask->fd + 1);
	r = connect_socket(ask, leg, &address);
	if (r)
		close_socket(ask);
	else
		timer_set(&loop_of(ask)->timers, &ask->timer,
			  now + (ask->deadline - now) / (count - ask->address));
	return r;
}

/* error: the result of the previous address. */
static void try_addresses(struct health_ask *ask, int error)
{
	uint64_t now = loop_of(ask)->now;

	for (;; ask->address++) {
		unsigned count =
			target_addresses(ledger_of(ask), ask->place->endpoint, ask->place->slot);

		if (!count) {
			finish(ask, HEALTH_WRONG, "its name does not resolve");
			return;
		}
		if (now >= ask->deadline) {
			finish_late(ask);
			return;
		}
		if (ask->address >= count) {
			finish(ask, HEALTH_WRONG, strerror(-error));
			return;
		}
		error = try_address(ask, count);
		if (!error)
			return;
		if (error == -EAGAIN) {
			timer_set(&loop_of(ask)->timers, &ask->timer,
				  now + FULL_BACKLOG_MS * NSEC_PER_MSEC);
			return;
		}
		if (fault_of(-error) == FAULT_SHORTAGE) {
			finish(ask, HEALTH_UNKNOWN, strerror(-error));
			return;
		}
	}
}

static void try_next(struct health_ask *ask, int error)
{
	close_socket(ask);
	ask->address++;
	try_addresses(ask, error);
}

static void handle_timer(struct timer *timer)
{
	struct health_ask *ask =
		(struct health_ask *)((char *)timer - offsetof(struct health_ask, timer));

	if (loop_of(ask)->now >= ask->deadline)
		finish_late(ask);
	else if (ask->fd >= 0)
		try_next(ask, -ETIMEDOUT);
	else
		try_addresses(ask, -EAGAIN);
}

/* 0: all of it is sent. -EAGAIN: later. */
static int send_request(struct health_ask *ask)
{
	const struct health_place *place = ask->place;

	while (ask->sent < place->request_len) {
		ssize_t n = send(ask->fd, place->request + ask->sent,
				 place->request_len - ask->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		ask->sent += (size_t)n;
	}
	return 0;
}

/* Whether all was read: a number of bytes, the end of a stream, one message. */
static bool is_whole(const struct health_ask *ask, ssize_t n)
{
	return n == 0 || row_of(ask)->type != SOCK_STREAM || ask->len == HEALTH_ANSWER_MAX;
}

/* Each round takes a byte at least, or is the last. */
static void receive_answer(struct health_ask *ask)
{
	char error[LEDGER_CHECK_TEXT_MAX];
	enum health_verdict verdict = VERDICT_WAITS;

	while (verdict == VERDICT_WAITS) {
		ssize_t n = recv(ask->fd, ask->answer + ask->len, HEALTH_ANSWER_MAX - ask->len,
				 MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			finish(ask, HEALTH_WRONG, strerror(errno));
			return;
		}
		ask->len += (size_t)n;
		ask->answer[ask->len] = '\0';
		verdict = health_judge(health_of(ask), ask->answer, ask->len, is_whole(ask, n),
				       error, sizeof error);
	}
	finish(ask, verdict == VERDICT_WELL ? HEALTH_WELL : HEALTH_WRONG, error);
}

static void talk(struct health_ask *ask)
{
	int r;

	if (!health_of(ask)->http && !health_of(ask)->expect) {
		finish(ask, HEALTH_WELL, NULL);
		return;
	}
	r = send_request(ask);
	/* An answer followed by a close is an answer. */
	if (!r || r == -EPIPE || r == -ECONNRESET)
		receive_answer(ask);
	else if (r != -EAGAIN)
		finish(ask, HEALTH_WRONG, strerror(-r));
}

void health_ask_handle(struct health_ask *ask, uint32_t serial)
{
	int error;

	if (!ask->place || ask->fd < 0 || serial != ask->serial)
		return;
	if (!ask->connected) {
		error = socket_take_error(ask->fd);
		if (error) {
			try_next(ask, error);
			return;
		}
		if (!socket_is_connected(ask->fd) || !(socket_poll(ask->fd, POLLOUT) & POLLOUT))
			return;
		ask->connected = true;
		timer_set(&loop_of(ask)->timers, &ask->timer, ask->deadline);
	}
	talk(ask);
}

void health_ask_begin(struct health_ask *ask, const struct health_place *place)
{
	ask->place = place;
	ask->timer.fire = handle_timer;
	ask->fd = -1;
	ask->address = 0;
	ask->deadline = loop_of(ask)->now + health_of(ask)->timeout;
	close_socket(ask);
	try_addresses(ask, 0);
}

void health_ask_stop(struct health_ask *ask)
{
	if (!ask->place)
		return;
	timer_clear(&loop_of(ask)->timers, &ask->timer);
	close_socket(ask);
}
