/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases of large pipes. A direction whose sink accepts nothing while its bytes are in a large pipe
 * is moved to a small one after a moment, so that the few large ones serve directions that keep up.
 * It gets a large one again only after some amount of data went through without blocking at its
 * sink.
 */
#pragma once

#include "base/timer.h"

#include <stdint.h>

struct session;
struct thread;

enum {
	LEASES_MAX = 32,       /* of a thread that are watched at once */
	LEASE_MOMENT_MS = 100, /* a sink that accepts nothing for this long does not keep up */
	LEASE_PROOF = 4 << 20, /* bytes */
};

struct leases {
	struct timer timer; /* set while there are any */
	struct thread *thread;
	uint32_t count;
	struct lease {
		uint32_t slot, direction;
		uint64_t bytes; /* moved into the sink, at the last check */
	} leases[LEASES_MAX];
};

void leases_init(struct leases *leases, struct thread *thread);

/* A direction is blocked, with bytes in its pipe. */
void lease_note(struct session *session, unsigned direction);
