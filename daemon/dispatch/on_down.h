/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sessions of targets that went down, where on_down = "end": the clerk sees which targets did,
 * and each thread ends its own sessions with them (clear.h). A session that began after that
 * continues: its target was tried although it is down, and answered.
 */
#pragma once

struct on_down;
struct thread;

/* Checks the targets of all generations periodically. *ret is NULL where no route asks for it. 0
 * or -ENOMEM. */
int on_down_new(struct on_down **ret, struct thread *clerk);
struct on_down *on_down_free(struct on_down *on_down);

/* A target has gone down: looks at once. Takes NULL. */
void on_down_look(struct on_down *on_down);
