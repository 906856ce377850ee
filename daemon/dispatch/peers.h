/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Peers of datagram listeners: which session a message belongs to. One table a thread, of the
 * sessions that the thread's listeners feed, by listener, canonical peer and the address of ours
 * that was asked.
 */
#pragma once

#include "ledger/ledger.h"

#include <stdint.h>
#include <sys/socket.h>

struct config_leg;
struct session;
struct thread;

/* The sender of a message, and which of our addresses it was sent to. */
struct peer {
	uint32_t listener;
	const struct sockaddr *address;
	socklen_t len; /* 0: the sender cannot be answered */
	uint32_t reply_len;
	_Alignas(8)
		uint8_t reply[LEDGER_REPLY_MAX]; /* what the family's reply() made of the message */
};

/* Which chain a key belongs to, under a worker's seed. */
uint32_t peers_hash(uint64_t seed, const void *key, size_t len);

/* Makes the table. -ENOMEM. */
int peers_init(struct thread *thread);

/* The session of a peer, or NULL. */
struct session *peers_find(struct thread *thread, const struct config_leg *leg,
			   const struct peer *peer);

/* Puts a session in, by the peer in its record and flow; takes it out, if it is there. */
void peers_add(struct session *session);
void peers_remove(struct session *session);
