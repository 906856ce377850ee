/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the keeper waits before it starts the next worker. Deaths that are blamed on a route
 * stop once the route is paused: all others continue at once. Deaths without a culprit might repeat
 * without end.
 */
#pragma once

#include <stdint.h>

enum { BACKOFF_MAX_MS = 10000 };

struct backoff {
	unsigned deaths; /* of the worker's own making, in a row, that no route is blamed for */
};

/* The worker died of its own making, and no route is blamed: how long to wait, in ms. lived: ns. */
uint64_t backoff_next(struct backoff *backoff, uint64_t lived);
