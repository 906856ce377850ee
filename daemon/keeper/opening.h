/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records of listeners whose sockets come and go: jobs on them are gathered, and one errand
 * (errand.h) does them. What is written into a record is noted (original.h).
 */
#pragma once

#include "keeper/errand.h"
#include "keeper/job.h"
#include "ledger/ledger.h"

#include <stdbool.h>
#include <stdint.h>

struct generation;

/* A leg of the generation that is prepared, and its place in it. */
struct wanted {
	const struct config *config;
	const struct config_route *route;
	const struct config_endpoint *endpoint;
	const struct config_leg *leg;
	uint32_t route_index, endpoint_index;
	uint16_t leg_index;
};

/* Whether several sockets may be bound to its address: those of our threads, and one that leaves
 * beside one that comes. */
bool wanted_shares_port(const struct wanted *wanted);

/* Whether each thread gets a socket of its own. */
bool wanted_is_for_each(const struct wanted *wanted);

/* A record for sockets that are to be opened: it is PENDING. Or whether LIVE options can be set
 * that have changed. 0 or -ENOMEM. */
int opening_ask(struct ledger *ledger, struct ledger_listener *record, const struct wanted *wanted,
		const struct generation *generation);
int opening_ask_again(struct ledger *ledger, struct ledger_listener *record,
		      const struct wanted *wanted); /* it waits, as configured */
int opening_try_options(struct ledger *ledger, const struct ledger_listener *record,
			const struct wanted *wanted);

/* A record without sockets, PENDING, that is going to wait, for what only another generation can
 * bring. */
void opening_hold(struct ledger *ledger, struct ledger_listener *record,
		  const struct wanted *wanted, const struct generation *generation, int error);

/* One that is WAITING already. */
void opening_wait_for_place(struct ledger *ledger, struct ledger_listener *record,
			    const struct wanted *wanted, const struct generation *generation,
			    int error);

/* A job on the sockets of a record, as configured in its generation; what they leave behind.
 * Without memory it is not done, which is logged. */
void opening_add(struct ledger *ledger, enum job_kind kind, const struct ledger_listener *record,
		 struct generation *newest);
void opening_remove_traces(struct ledger *ledger, const struct ledger_listener *record,
			   struct generation *newest);

/* Starts the gathered jobs, or discards them if there was an error already. Returns that error,
 * 0, or negative errno. */
int opening_start(struct ledger *ledger, int error, const struct errand_taker *taker);

/* The same for jobs whose outcome is only logged. ends: the daemon is stopping, and does not
 * wait long for a family. */
void opening_send(struct ledger *ledger, bool ends);

/* For takers: a requested socket of a record is there; all of them are, and their bindings are
 * watched from now on; the child that was to open them did not finish, and what it may have
 * bound by then has left a name. */
void opening_take_socket(struct ledger *ledger, const struct job *job, uint32_t k, int fd);
void opening_note_place(struct ledger *ledger, const struct job *job);
void opening_leave_unfinished(const struct job *job, int r);

/* Closes its sockets: the record is free. */
void opening_take_back(struct ledger *ledger, struct ledger_listener *record);

/* In place of sockets, what is waited for; again, after it was tried: WAITING. */
void opening_wait(struct ledger *ledger, struct ledger_listener *record, int error,
		  enum ledger_listener_state state);
void opening_wait_again(struct ledger *ledger, struct ledger_listener *record, int error);
