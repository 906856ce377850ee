/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets on their way out. Between the moment when a socket leaves its record and the one when it
 * is closed nobody owns it, as nobody owns a connection that was just accepted: the thread says in
 * its record which socket it is, so that an heir can tell them apart. Nothing is set on the socket
 * for it: what close(2) then says to the peer is what was meant.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct address;
struct ledger;
struct ledger_thread;

/* A socket's name: SO_COOKIE, socket(7), which no other socket ever gets. 0: the kernel knows
 * none. */
uint64_t closing_name(int fd);

/* The same without a system call, for an accepted socket whose peer has an address of his own,
 * which is known: TCP. Two connections of one peer do not have one number at once. */
uint64_t closing_name_of_peer(int fd, const struct address *peer);

/* Takes a socket out of its record and closes it; none is there: nothing. name: 0 where nobody
 * could take it for one that was accepted. */
void closing_close(struct ledger_thread *thread, int32_t *place, uint64_t name);

/* Whether a dead thread was closing this socket. */
bool closing_names(const struct ledger *ledger, int fd);
