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
struct config_member;
struct generation;
struct ledger;
struct ledger_address;
struct ledger_target;
struct thread;

/* Its record in the ledger; `target`: its number among the route's. */
struct ledger_target *target_record(const struct thread *thread,
				    const struct generation *generation, unsigned route,
				    unsigned target);

/* Whether nothing that is known speaks against it: what marks a target down is asked for here. */
bool target_lives(const struct ledger_target *target, const struct config_member *member);

/* Its share of new sessions now, as the operator has set it, or as it is configured; 0: none. That
 * of a place of a service is as configured, times its record's weight. */
uint32_t target_weight(const struct ledger_target *target, const struct config_member *member);

/* Of a place of a service, its record's: a lower one is preferred. Others have 0. */
uint32_t target_priority(const struct ledger_target *target, const struct config_member *member);

/* The same in the pool's units, of which a weight has TARGET_UNITS; while it starts slowly it has
 * fewer, and one at least. */
enum { TARGET_UNITS = 64 };
uint32_t target_share(const struct ledger_target *target, const struct config_member *member,
		      uint64_t now);

/* Whether it starts slowly: its share rises. */
bool target_rises(const struct ledger_target *target, const struct config_member *member,
		  uint64_t now);

/* Of a place of a name: whether it has an address that is in the newest good answer. Others
 * always do. */
bool target_is_listed(const struct ledger_target *target, const struct config_member *member);

/* Whether the operator wants no session there, new or old. */
bool target_is_disabled(const struct ledger_target *target);

/* One of these answers has changed: the route's pool is evaluated again. */
void target_changed(struct ledger *ledger, const struct ledger_target *target);
void target_route_changed(struct ledger *ledger, uint32_t route); /* its record */

/* Whether a target is down: it does not live, or its name has no address. */
bool target_has_failed(const struct ledger *ledger, const struct config_endpoint *endpoint,
		       unsigned slot);

/* What is to be known of one that is: ", for 12 s: Connection refused, 7 failures". text:
 * TARGET_TEXT_MAX bytes. Returns text. */
enum { TARGET_TEXT_MAX = 160 };
const char *target_tell_failure(const struct ledger_target *target, char text[TARGET_TEXT_MAX]);

/* Whether a target of the route is to be skipped, because it is known to be down and not yet to
 * be tried again; and whether all are. */
bool target_is_down(const struct thread *thread, const struct generation *generation,
		    unsigned route, unsigned target);
bool target_all_down(const struct thread *thread, const struct generation *generation,
		     unsigned route);

/* Whether its last attempt failed. */
bool target_fails(const struct thread *thread, const struct generation *generation, unsigned route,
		  unsigned target);

/* Of all that would like to ask one that is down, one may: it holds it until then, unless it has
 * failed, or succeeded, before. */
bool target_claim(struct ledger_target *target, uint64_t now, uint64_t until);

/* Whether a session may ask it now, where all of the route are down. One that is down is asked by
 * one session, which holds it until `until` at most, and again a moment later, perhaps by another.
 */
bool target_may_be_asked(const struct thread *thread, const struct generation *generation,
			 unsigned route, unsigned target, uint64_t until);

/* One that is down is skipped for another `passive.retry`. */
void target_put_off(struct ledger_target *target, const struct config_member *member, uint64_t now);

/* Gives up the right to try it. */
void target_release(struct ledger_target *target);

/* How many addresses the target has now (0: its name has not resolved, or another stood there), and
 * number `index` of them, beginning with the one that answered last. */
unsigned target_addresses(const struct ledger *ledger, const struct config_endpoint *endpoint,
			  unsigned slot);
bool target_address(const struct ledger *ledger, const struct config_endpoint *endpoint,
		    unsigned slot, unsigned index, unsigned *leg, struct address *ret);

/* Writes them down; count: 1 to LEDGER_ADDRESSES_MAX. In the clerk. */
void target_set_addresses(struct ledger_target *target, const struct ledger_address *addresses,
			  unsigned count);

/* They are of another name, or port: there are none until that is known. */
void target_set_origin(struct ledger_target *target, uint64_t origin);

/* What came of an attempt; `index` as above; error: negative errno. What is news is logged. One
 * that is down is asked again when the route's pause is over, which doubles from failure to
 * failure, and is a second at most. */
void target_succeeded(struct ledger *ledger, struct ledger_target *target, unsigned index);
void target_failed(struct ledger *ledger, struct ledger_target *target,
		   const struct config_member *member, uint64_t now, int error);
