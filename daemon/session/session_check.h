/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session between two events: what must hold then, in every session that lives. */
#pragma once

struct session;

/* Asserts it for a session of this thread that was just served, whatever became of it. Costs system
 * calls: a build without --enable-dev checks nothing here. */
void session_check(const struct session *session);
