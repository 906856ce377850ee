/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Datagram listeners: one socket, many peers. Each message goes to the session of its peer, which is made for the first of
 * them and lives until it was idle for timeout.idle, or has got its replies. Sessions of a listener are its thread's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct listener;
struct session;
struct thread;

/* Reads what there is, within a turn's bounds. True: there may be more. */
bool fed_receive(struct thread *thread, struct listener *listener, uint32_t index);

/* Takes the message at the head of the queue away, and counts it: it was in hand at two deaths. */
void fed_skip(struct thread *thread, struct listener *listener, uint32_t index);
