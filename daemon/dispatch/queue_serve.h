/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread serves the queues that it was called for. */
#pragma once

struct thread;

/* The sessions whose turn it is continue to connect. */
void queue_serve(struct thread *thread);
