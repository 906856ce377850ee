/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system calls that are left to a worker: seccomp(2). */
#pragma once

struct generation;

/* In the keeper, before a start: does the slow part in advance. Opens and closes a descriptor. */
void calls_prepare(const struct generation *newest);

/* Leaves the calling process, which has one thread, the calls that serving these generations
 * needs; any other fails with EPERM. Returns an enum ledger_wall, or negative errno: nothing has
 * changed, or only unused calls are refused. */
int calls_restrict(const struct generation *newest);
