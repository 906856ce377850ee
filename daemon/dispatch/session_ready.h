/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ready list of a thread: session_queue(). */
#pragma once

struct thread;

/* Serves the sessions that had more to do than their turn allowed. */
void session_serve_ready(struct thread *thread);
