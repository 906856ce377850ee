/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of peers: chains of session slots, hashed by XXH3 under a seed that each worker draws:
 * a sender chooses its address and port, and with a known hash it could choose thousands that share
 * one chain. The table can be rebuilt from the records, so that an heir does so, under its own
 * seed.
 */
#include "dispatch/peers.h"

#include "base/assert.h"
#include "config/config.h"
#include "dispatch/dispatch.h"
#include "ledger/generation.h"
#include "net/callback.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { KEY_MAX = LEDGER_PEER_MAX + LEDGER_REPLY_MAX + sizeof(uint32_t) };

struct key {
	size_t len;
	uint8_t bytes[KEY_MAX];
};

int peers_init(struct thread *thread)
{
	uint32_t buckets = 64;

	while (buckets < thread->worker->ledger->n_sessions)
		buckets *= 2;
	thread->dispatch->peers_mask = buckets - 1;
	thread->dispatch->peers =
		mmap(NULL, buckets * sizeof *thread->dispatch->peers, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return thread->dispatch->peers == MAP_FAILED ? -ENOMEM : 0;
}

uint32_t peers_hash(uint64_t seed, const void *key, size_t len)
{
	return (uint32_t)XXH3_64bits_withSeed(key, len, seed);
}

static void make_key(const struct config_leg *leg, uint32_t listener,
		     const struct sockaddr *address, socklen_t len, const void *reply,
		     size_t reply_len, struct key *key)
{
	const struct family *family = leg->family;
	int n = -ENOSYS;

	assert(reply_len <= LEDGER_REPLY_MAX);
	memcpy(key->bytes, &listener, sizeof listener);
	key->len = sizeof listener;
	if (len && family->plugin.peer_key)
		n = (int)CALLBACK(family, peer_key,
				  family->plugin.peer_key(&leg->options, address, len,
							  key->bytes + key->len, LEDGER_PEER_MAX));
	if (n < 0) {
		n = len < LEDGER_PEER_MAX ? (int)len : LEDGER_PEER_MAX;
		memcpy(key->bytes + key->len, address, (size_t)n);
	}
	assert(n >= 0 && n <= LEDGER_PEER_MAX);
	key->len += (size_t)n;
	memcpy(key->bytes + key->len, reply, reply_len);
	key->len += reply_len;
	assert(key->len <= KEY_MAX);
}

static void session_key(const struct session *session, struct key *key)
{
	const struct ledger_session *record = session_record(session);
	const struct ledger_flow *flow = session_flow(session);

	assert(record->front == FRONT_FED);
	make_key(session_leg(session, 0), record->listener, (const void *)flow->peer,
		 flow->peer_len, flow->reply, flow->reply_len, key);
}

static bool has_key(const struct session *session, uint32_t hash, const struct key *key)
{
	struct key own;

	if (session->peer_hash != hash)
		return false;
	session_key(session, &own);
	return own.len == key->len && !memcmp(own.bytes, key->bytes, key->len);
}

struct session *peers_find(struct thread *thread, const struct config_leg *leg,
			   const struct peer *peer)
{
	struct key key;
	uint32_t hash, next;

	assert(thread_is_self(thread) && peer->listener < LEDGER_LISTENERS_MAX);
	make_key(leg, peer->listener, peer->address, peer->len, peer->reply, peer->reply_len, &key);
	hash = peers_hash(thread->worker->seed, key.bytes, key.len);
	for (next = thread->dispatch->peers[hash & thread->dispatch->peers_mask]; next;
	     next = session_at(thread, next - 1)->peer_next)
		if (has_key(session_at(thread, next - 1), hash, &key))
			return session_at(thread, next - 1);
	return NULL;
}

void peers_add(struct session *session)
{
	struct thread *thread = session->thread;
	uint32_t *bucket;
	struct key key;

	assert(!session->peer_known);
	assert(thread_is_self(thread));
	session_key(session, &key);
	session->peer_hash = peers_hash(thread->worker->seed, key.bytes, key.len);
	session->peer_known = true;
	bucket = &thread->dispatch->peers[session->peer_hash & thread->dispatch->peers_mask];
	session->peer_next = *bucket;
	*bucket = session_slot(session) + 1;
}

void peers_remove(struct session *session)
{
	struct thread *thread = session->thread;
	uint32_t *link =
		&thread->dispatch->peers[session->peer_hash & thread->dispatch->peers_mask];

	if (!session->peer_known)
		return;
	session->peer_known = false;
	while (*link && *link != session_slot(session) + 1)
		link = &session_at(thread, *link - 1)->peer_next;
	assert(*link);
	*link = session->peer_next;
}
