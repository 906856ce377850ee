/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the keeper waits before it starts the next worker. Deaths that are blamed on a route end
 * by themselves, with the route paused: everybody else goes on at once. What nobody can be blamed
 * for might go on for ever.
 */
#pragma once

#include <stdint.h>

enum { BACKOFF_MAX_MS = 10000 };

struct backoff {
	unsigned deaths; /* of the worker's own making, in a row, that nobody is blamed for */
};

/* The worker died of its own making, and nobody is blamed: how long to wait, in ms. lived: ns. */
uint64_t backoff_next(struct backoff *backoff, uint64_t lived);
