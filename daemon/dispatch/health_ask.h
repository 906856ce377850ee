/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One health check on its way: connect, ask, be answered, all within a time. Its socket is opened
 * as a session's to the same target would be, and is in the target's record while it is open.
 */
#pragma once

#include "base/timer.h"
#include "config/health.h"

#include <stdbool.h>
#include <stdint.h>

struct thread;

/* Its destination, its socket options, and what is sent. */
struct health_place {
	struct thread *clerk;
	const struct config *config;
	const struct config_route *route;
	const struct config_endpoint *endpoint;
	uint32_t route_slot, slot; /* records in the ledger */
	const char *request;	   /* bytes, or NULL */
	size_t request_len;
};

/* UNKNOWN: this machine lacked a resource; the target's state is unknown. */
enum health_result { HEALTH_WELL, HEALTH_WRONG, HEALTH_UNKNOWN };

struct health_ask {
	struct timer timer;
	const struct health_place *place; /* NULL: free */
	void (*done)(struct health_ask *ask, enum health_result result, const char *error);
	void *owner;
	uint32_t index, serial; /* its name in the loop */
	int fd;			/* -1: none */
	unsigned address;	/* of the target's */
	uint64_t deadline;	/* CLOCK_MONOTONIC, ns */
	bool connected;
	size_t sent, len;
	char answer[HEALTH_ANSWER_MAX + 1];
};

/* Begins; done() is called once, perhaps before this returns, and the ask is free then. */
void health_ask_begin(struct health_ask *ask, const struct health_place *place);

/* Something happened to its socket, under that serial. */
void health_ask_handle(struct health_ask *ask, uint32_t serial);

/* Ends without a result. */
void health_ask_stop(struct health_ask *ask);
