/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases of large pipes. A direction whose sink takes nothing any more, while bytes for it are in a
 * large pipe, moves after a moment into a small one, so that the few large ones serve those that
 * keep up. It gets no large one again before so much went through without its sink holding it up.
 */
#pragma once

#include "base/timer.h"

#include <stdint.h>

struct session;
struct thread;

enum {
	LEASES_MAX = 32,       /* of a thread that are watched at once */
	LEASE_MOMENT_MS = 100, /* a sink that takes nothing for so long does not keep up */
	LEASE_PROOF = 4 << 20, /* bytes */
};

struct leases {
	struct timer timer; /* set while there are any */
	struct thread *thread;
	uint32_t count;
	struct lease {
		uint32_t slot, direction;
		uint64_t bytes; /* into the sink, when it was looked at last */
	} leases[LEASES_MAX];
};

void leases_init(struct leases *leases, struct thread *thread);

/* A direction is blocked, with bytes in its pipe. */
void lease_note(struct session *session, unsigned direction);
