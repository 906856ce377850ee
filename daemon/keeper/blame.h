/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blame: what a dead worker's threads had in hand, and which callback of which family they ran.
 *
 * A session in hand at two deaths of the worker's own making is given up. A connection that kills
 * while it is accepted becomes a session of the heir that has one death already; of a datagram
 * listener, the message at the head of the queue is skipped at the second.
 *
 * Deaths are also counted for the route, whichever of its records was in hand: at the third death
 * its listeners, feeds and dials are paused until a reload, and the callback is barred for it, so
 * that its sessions continue as long as they do not need it. Each further death adds a step: enum
 * ledger_route_pause.
 *
 * An heir that dies before it has threads would take all sessions with it, again and again: what it
 * was adopting then is given up at once.
 */
#pragma once

#include <stdbool.h>

struct families;
struct generation;
struct ledger;

/* The worker died of its own making, or hung: looks at the hands of the threads that did it.
 * True: a route was found, so that the same cannot repeat without end. */
bool blame_hands(struct ledger *ledger, struct generation *newest, const struct families *families,
		 bool hung);

/* A generation begins to run: its paused routes resume, and all deaths are forgotten. Not asked
 * (the executable was replaced): routes that are the same in the previous generation stay as
 * they are. blame_pause() follows. */
void blame_forgive(struct ledger *ledger, struct generation *newest, bool asked);

/* What is listened on since is paused as its route is. */
void blame_pause(struct ledger *ledger, struct generation *newest);

/* Whether a route of the generation is paused. */
bool blame_is_pausing(const struct ledger *ledger, const struct generation *generation);
