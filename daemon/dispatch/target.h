/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Targets: which one a session is connected to next, at which address, and what is known of their
 * health. Health and addresses stand in the ledger: they survive every worker.
 */
#pragma once

#include "net/address.h"

#include <stdbool.h>
#include <stdint.h>

struct config_endpoint;
struct config_leg;
struct config_route;
struct generation;
struct ledger;
struct ledger_target;
struct thread;

enum {
	TARGET_DOWN_SECONDS = 10
}; /* one that is down is passed over for so long, as long as others are not */

/* The place among a route's targets where the next session begins: roundrobin. */
uint32_t target_next_turn(struct thread *thread, const struct generation *generation,
			  unsigned route);

/* The same for so many at once, one after the other. */
uint32_t target_take_turns(struct thread *thread, const struct generation *generation,
			   unsigned route, unsigned count);

/* Whether a target is down: from its third failure on, until something succeeds; one whose name has
 * no address is, too. */
bool target_has_failed(const struct ledger *ledger, const struct config_endpoint *endpoint,
		       unsigned slot);

/* What is to be known of one that is: ", for 12 s: Connection refused, 7 failures". text:
 * TARGET_TEXT_MAX bytes. Returns text. */
enum { TARGET_TEXT_MAX = 160 };
const char *target_tell_failure(const struct ledger_target *target, char text[TARGET_TEXT_MAX]);

/* Whether a target of the route is to be passed over, because it is known to be down and not yet to
 * be tried again; and whether all are. */
bool target_is_down(const struct thread *thread, const struct generation *generation,
		    unsigned route, unsigned target);
bool target_all_down(const struct thread *thread, const struct generation *generation,
		     unsigned route);

/* Whether its last attempt failed. */
bool target_fails(const struct thread *thread, const struct generation *generation, unsigned route,
		  unsigned target);

/* Whether a session may ask it now. One that is down is asked by one session, which holds it until
 * `until` at most (it has failed, or succeeded, before), and again a moment later, be it by
 * another; before its time is over (target_is_down()) only where all of the route are down. */
bool target_may_be_asked(const struct thread *thread, const struct generation *generation,
			 unsigned route, unsigned target, bool all_down, uint64_t until);

/* Who holds it goes. */
void target_release(struct ledger_target *target);

/* How many addresses the target has now (0: its name has not resolved), and number `index` of them,
 * beginning with the one that answered last. */
unsigned target_addresses(const struct ledger *ledger, const struct config_endpoint *endpoint,
			  unsigned slot);
bool target_address(const struct ledger *ledger, const struct config_endpoint *endpoint,
		    unsigned slot, unsigned index, unsigned *leg, struct address *ret);

/* What came of an attempt; `index` as above; error: negative errno. What is news is logged. One
 * that is down is asked again when the route's pause is over, which doubles from failure to
 * failure, and is a second at most. */
void target_succeeded(struct ledger_target *target, unsigned index);
void target_failed(struct ledger_target *target, const struct config_route *route, uint64_t now,
		   int error);
