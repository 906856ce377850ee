/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Invariants of every live session between two events. */
#pragma once

struct session;

/* Asserts them for a session that this thread has just served, which may have ended. Costs system
 * calls: only in a build with --enable-dev. */
void session_check(const struct session *session);
