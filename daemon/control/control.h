/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control socket: splicectl's connections. A request is one line, a JSON object with a member
 * `verb`; the answer is one line, a JSON object with a member `ok`; then the daemon closes. The
 * clerk serves them; each is a record in the ledger, so that the heir can answer the one that asked
 * for a reload.
 */
#pragma once

struct control;
struct report;
struct thread;

enum {
	CONTROL_REQUEST_MAX = 64 * 1024, /* bytes; a longer line closes its connection */
	CONTROL_MODE = 0600,
};

/* Binds the control socket. A socket file that no process listens on is replaced; one in use, or
 * any other file, is left. group: a name, or NULL. Returns the descriptor, or negative errno
 * with the reason in report. */
int control_listen(const char *path, unsigned mode, const char *group, struct report *report);

/* Adopts the control socket and its connections on the clerk's loop. 0 or negative errno. */
int control_new(struct control **ret, struct thread *clerk);
struct control *control_free(struct control *control);
