/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bindings: what a listening socket is bound to but does not keep in existence. The file of a UNIX
 * socket may be removed, or another put there; the interface that a socket is bound to may go, and
 * come again as another. The socket still listens then, but no client reaches it.
 */
#pragma once

#include <stdbool.h>

struct config_leg;
struct generation;
struct ledger;
struct ledger_listener;

/* Notes the file of a socket that was just bound. */
void binding_note(struct ledger_listener *record, const struct config_leg *leg);

/* Marks in an open listener's record what is waited for; 0: nothing. */
void binding_wait(struct ledger *ledger, struct ledger_listener *record, int error);

/* Looks at the places of some open listeners, at each call the next ones: the records of those
 * whose place is lost are marked (`waits`, an errno: ENOENT and ENOTDIR, the file or its
 * directory is gone; EADDRINUSE, another file is there; ENODEV, the interface is gone), and
 * listener_set_try() binds another socket for them. True: one has lost it since. */
bool bindings_check(struct ledger *ledger, struct generation *newest);
