/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The beginning of sessions. */
#pragma once

#include <stdint.h>

struct address;
struct generation;
struct session;
struct thread;

/* A claimed slot whose record is filled: commits it, and starts to connect. */
void session_begin(struct session *session, const struct address *peer);

/* A record of the previous worker, CONNECTING or RELAYING: continues it from its state, and
 * serves it once. A record whose `kill` is set is ended for that reason instead. */
void session_adopt(struct thread *thread, uint32_t slot, const struct generation *generation);
