/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clearing: a target that the operator has disabled, or that went down where on_down = "end",
 * loses its sessions. Each thread ends its own; one that is still connecting tries another
 * target. */
#pragma once

struct thread;

/* A target has been disabled or went down, or may have: the thread looks at all of its sessions,
 * some in each turn. Any thread may ask. */
void clear_ask(struct thread *thread);

/* In each turn of the thread: looks at some sessions. */
void clear_disabled(struct thread *thread);
