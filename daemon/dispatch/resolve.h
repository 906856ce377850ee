/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of targets: looked up by the clerk (c-ares), at its start, when the answer's TTL or the
 * route's `resolve` is over, and soon after a failure; nothing waits for it. The last addresses of
 * a name are in the ledger and are used until there are newer ones.
 */
#pragma once

struct resolver;
struct thread;

/* A resolver for the names in the newest generation, on the clerk's loop. With no names it does
 * nothing. 0 or negative errno. */
int resolver_new(struct resolver **ret, struct thread *clerk);
struct resolver *resolver_free(struct resolver *resolver);
