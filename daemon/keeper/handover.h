/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handing over to another process of this program: the ledger, and every descriptor that it names.
 *
 *   upgrade   execve(2) of the program's file as it is now: descriptors keep their numbers
 *   restart   the lifeboat: one end of a socket pair lies in the service manager's descriptor
 *             store, sd_pid_notify_with_fds(3); at a planned stop all is sent into the other end,
 *             and the next start takes it out. If there is none, the manager drops the store, and
 *             what was in it is closed: connections are reset.
 */
#pragma once

#include <stdbool.h>

struct families;
struct generation;
struct ledger;
struct prepare;
struct report;
struct start;

/* Takes what another process left, if it left anything: 1, and *old is its ledger, all of whose
 * descriptors are open here; 0: nothing. Negative errno: it cannot be used, and is closed; the
 * reason is in report. */
int handover_take(struct ledger *old, struct report *report);

/* Before the lifeboat is filled: whether the program that starts next, the executable as it is
 * now, can read it. One that cannot would keep the descriptors open while it starts, and find
 * its own addresses in use. True if it is this program, or if this is unknown. */
bool handover_is_understood(struct ledger *ledger, const struct start *start);

/* Sends all into the lifeboat, if there is one. False: there is none, or it failed:
 * handover_abandon() is next. */
bool handover_send(struct ledger *ledger, struct generation *newest);

/* No process takes over. A truncated stream must not look complete: what is still open is reset
 * when the process ends. */
void handover_abandon(struct ledger *ledger, struct generation *newest);

/* Starts a child, prepare.h, that checks whether the program's file as it is now can take over: its
 * plugins, the configuration, this ledger. 0 or negative errno. */
int handover_check(struct prepare *prepare, struct ledger *ledger, const struct start *start);

/* Becomes the program's file as it is now. Returns only if that failed: negative errno. */
int handover_exec(struct ledger *ledger, char *const *arguments);

/* The checking child's part, in the new program: reads the ledger, and its generations. 0, or
 * negative errno with the reason in report. */
int handover_try(int fd, struct families *families, struct report *report);
