/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets on their way out. After a socket has left its record and before it is closed it has no
 * owner, just like a connection that was just accepted: the thread notes in its record which socket
 * it is, so that an heir can distinguish them. Nothing is set on the socket for this, so close(2)
 * has its normal effect on the peer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct address;
struct ledger;
struct ledger_thread;

/* A socket's name: SO_COOKIE, socket(7), which is never reused. 0: the kernel has none. */
uint64_t closing_name(int fd);

/* The same without a system call, for an accepted socket whose peer has a known address of its
 * own: TCP. Two connections of one peer do not have the same number at the same time. */
uint64_t closing_name_of_peer(int fd, const struct address *peer);

/* Takes a socket out of its record and closes it; does nothing if there is none. name: 0 if it
 * cannot be mistaken for an accepted one. */
void closing_close(struct ledger_thread *thread, int32_t *place, uint64_t name);

/* Whether a dead thread was closing this socket. */
bool closing_names(const struct ledger *ledger, int fd);
