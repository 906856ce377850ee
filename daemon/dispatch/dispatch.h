/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dispatch's own of a thread: its listeners and other fronts, which of their sessions is the oldest
 * and whose a datagram is, and what it may choose from. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct idle_list;
struct listener;
struct permanent_front;
struct pool_view;
struct queue;

struct dispatch {
	struct listener *listeners; /* [LEDGER_LISTENERS_MAX], mapped, touched where used */
	struct listener *paused_first,
		*paused_last;	      /* those that wait for a session to end, or did */
	struct idle_list *idle;	      /* idle.h, by record of the route, mapped */
	uint32_t idle_turn;	      /* the thread that was asked last */
	_Atomic uint32_t idle_wanted; /* record of a route, + 1, whose oldest session another thread
					 asks for; 0: none */
	bool passes_on;		      /* a lane's messages to others: datagram_lanes.h */
	uint32_t *peers, peers_mask;  /* peers.h */
	struct pool_view *pools;      /* by generation's first_pool, and route */
	struct permanent_front *permanent; /* feeds and dials of this thread */
	uint32_t n_permanent;
	/* clear.h */
	_Atomic uint32_t clears; /* some target is disabled now: its sessions are to end */
	uint32_t clear_next;	 /* the slot that is looked at next */
	bool clearing;
	struct queue *_Atomic calls; /* queue.h */
};
