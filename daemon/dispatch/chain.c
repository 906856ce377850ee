/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of our own sockets can be rebuilt from the records, so that each worker has its own;
 * what a session knows of its chain is in its record. What surprised us about the kernel: a local
 * port may serve two connections to different places at once, so that a peer's address alone does
 * not identify the connection; and a connection whose other end has been closed already is still
 * accepted: without a memory beyond the session, a loop would keep running after its client has
 * left.
 */
#include "dispatch/chain.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "dispatch/own_sockets.h"
#include "dispatch/ratelimit.h"
#include "ledger/generation.h"
#include "move/roam.h"
#include "net/callback.h"
#include "net/socket.h"
#include "session/session.h"
#include "session/thread.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { IDENTITY_MAX = 128, TYPES = 8, LATE_MAX = 32 };

/* What is known of a listener of ours, by its index in the ledger. */
struct own_listener {
	uint64_t netns;
	uint64_t file; /* UNIX: which file or abstract name it has; 0: another family's */
	bool group;    /* it is bound to a multicast group */
};

/* ... and by what it is called. */
struct own_file {
	uint64_t file;	/* 0: free */
	uint32_t route; /* slot */
};

struct chains {
	struct own_sockets table;
	struct own_listener *listeners; /* [LEDGER_LISTENERS_MAX] */
	struct own_file *files;		/* hashed: what the listeners above have */
	uint32_t files_mask;
	uint32_t kinds;		/* bit kind_of(): a listener of ours could be at the other end */
	_Atomic uint64_t netns; /* this process's; 0: not known yet */
};

/* ---- identifying peers ---- */

static bool is_ip(int domain)
{
	return domain == AF_INET || domain == AF_INET6;
}

static bool is_connectionless(const struct spliced_row *row)
{
	return row->capabilities & SPLICED_CONNECTIONLESS;
}

/* Sockets of two kinds never meet. */
static uint32_t kind_of(const struct config_leg *leg)
{
	int domain = leg->row->domain;

	return 1u << (((is_ip(domain)	    ? 0
			: domain == AF_UNIX ? TYPES
					    : 2 * TYPES) +
		       leg->row->type) %
		      32);
}

/* The part of an address that identifies a socket. A vsock socket does not know its own
 * machine's number. 0: there is none. */
static size_t identify(const struct config_leg *leg, const struct address *address,
		       uint8_t bytes[IDENTITY_MAX])
{
	const struct sockaddr_vm *vm = (const void *)&address->storage;
	const struct family *family = leg->family;
	size_t len = address->len < IDENTITY_MAX ? address->len : IDENTITY_MAX;
	int n = -ENOSYS;

	if (address->len <= sizeof(sa_family_t))
		return 0;
	if (address->storage.ss_family == AF_VSOCK) {
		memcpy(bytes, &vm->svm_port, sizeof vm->svm_port);
		return sizeof vm->svm_port;
	}
	if (family->plugin.peer_key)
		n = (int)CALLBACK(family, peer_key,
				  family->plugin.peer_key(&leg->options,
							  address_sockaddr_const(address),
							  address->len, bytes, IDENTITY_MAX));
	if (n >= 0)
		return (size_t)n;
	memcpy(bytes, &address->storage, len);
	return len;
}

/* A hash that no stranger can aim at. 0: the address identifies nothing. */
static uint64_t hash_address(const struct thread *thread, const struct config_leg *leg,
			     uint64_t netns, const struct address *address)
{
	struct {
		uint64_t netns, type;
		uint8_t bytes[IDENTITY_MAX];
	} key = {.netns = netns, .type = (uint64_t)leg->row->type};
	size_t n = identify(leg, address, key.bytes);

	return n ? XXH3_64bits_withSeed(&key, offsetof(typeof(key), bytes) + n,
					thread->worker->seed)
		 : 0;
}

/* The file, or the abstract name, of a UNIX socket. 0: there is none. */
static uint64_t hash_file(const struct worker *worker, uint64_t netns,
			  const struct address *address)
{
	const struct sockaddr_un *un = (const void *)&address->storage;
	size_t len = address->len > offsetof(struct sockaddr_un, sun_path)
			     ? address->len - offsetof(struct sockaddr_un, sun_path)
			     : 0;
	uint64_t place[2];
	struct stat status;

	if (address->storage.ss_family != AF_UNIX || !len)
		return 0;
	if (!un->sun_path[0])
		return XXH3_64bits_withSeed(un->sun_path, len, worker->seed ^ netns);
	if (stat(un->sun_path, &status) < 0)
		return 0;
	place[0] = (uint64_t)status.st_dev;
	place[1] = (uint64_t)status.st_ino;
	return XXH3_64bits_withSeed(place, sizeof place, worker->seed);
}

/* The namespace of a socket that the session connects: a system call only if the operator named
 * one. */
static uint64_t netns_of(const struct session *session, unsigned side, int fd)
{
	struct chains *chains = session->thread->worker->chains;
	uint64_t netns;

	if (session_endpoint(session, side)->values[ENDPOINT_NETNS].value.text)
		return socket_netns(fd);
	netns = atomic_load_explicit(&chains->netns, memory_order_relaxed);
	if (!netns)
		chains->netns = netns = socket_netns(fd);
	return netns;
}

/* ---- listeners of ours ---- */

/* A file's place in the table, or where it would be. */
static struct own_file *place_of(const struct chains *chains, uint64_t file)
{
	uint32_t at = (uint32_t)file & chains->files_mask;

	while (chains->files[at].file && chains->files[at].file != file)
		at = (at + 1) & chains->files_mask;
	return &chains->files[at];
}

/* The listener of ours that has this file; NULL: none. */
static const struct own_file *find_file(const struct chains *chains, uint64_t file)
{
	const struct own_file *found = file ? place_of(chains, file) : NULL;

	return found && found->file ? found : NULL;
}

static void note_listener(const struct worker *worker, struct chains *chains, uint32_t index)
{
	const struct ledger_listener *record = &worker->ledger->listeners[index];
	const struct config_leg *leg = generation_listens_by(worker->generations, record);
	const struct generation *generation =
		generation_find(worker->generations, record->generation);
	struct own_listener *own = &chains->listeners[index];
	struct address address;
	int fd = -1;

	if ((record->state != LISTENER_OPEN && record->state != LISTENER_LEAVING) || !leg)
		return;
	for (uint32_t k = 0; k < ledger_sockets(record) && fd < 0; k++)
		fd = record->fds[k];
	if (fd < 0 || leg->row->capabilities & SPLICED_FEED)
		return;
	chains->kinds |= kind_of(leg);
	own->netns = socket_netns(fd);
	if (socket_local_address(fd, &address) < 0)
		return;
	own->group = address_is_multicast(&address);
	own->file = hash_file(worker, own->netns, &address);
	if (own->file)
		*place_of(chains, own->file) =
			(struct own_file){own->file, generation->route_slots[record->route]};
}

int chains_init(struct worker *worker)
{
	uint32_t high = ledger_listeners_high(worker->ledger), files = 64;
	struct chains *chains = calloc(1, sizeof *chains);

	worker->chains = chains;
	if (!chains || own_sockets_init(&chains->table, worker->ledger->n_sessions) < 0)
		return -ENOMEM;
	while (files < 2 * high)
		files *= 2;
	chains->files_mask = files - 1;
	chains->files = calloc(files, sizeof *chains->files);
	chains->listeners = calloc(LEDGER_LISTENERS_MAX, sizeof *chains->listeners);
	if (!chains->files || !chains->listeners)
		return -ENOMEM;
	for (uint32_t i = 0; i < high; i++)
		note_listener(worker, chains, i);
	return 0;
}

/* ---- sockets that go out ---- */

/* connect(2) to no address in particular goes to this machine. */
static struct address settled(const struct address *remote, const struct address *local)
{
	struct sockaddr_in6 *in6;
	struct sockaddr_in *in;
	struct address ret = *remote;

	in = (struct sockaddr_in *)(void *)&ret.storage;
	in6 = (struct sockaddr_in6 *)(void *)&ret.storage;
	if (ret.storage.ss_family != local->storage.ss_family)
		return ret;
	if (ret.storage.ss_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY))
		in->sin_addr =
			((const struct sockaddr_in *)(const void *)&local->storage)->sin_addr;
	if (ret.storage.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		in6->sin6_addr =
			((const struct sockaddr_in6 *)(const void *)&local->storage)->sin6_addr;
	return ret;
}

static bool is_same(const struct config_leg *leg, const struct address *a, const struct address *b)
{
	uint8_t one[IDENTITY_MAX], other[IDENTITY_MAX];
	size_t n = identify(leg, a, one);

	return n && identify(leg, b, other) == n && !memcmp(one, other, n);
}

/* What is to be known of a socket that the session connects. */
static struct own_socket describe(const struct session *session)
{
	const struct ledger_session *record = session_record(session);
	const struct ledger_flow *flow = session_flow(session);
	uint32_t route = session->generation->route_slots[record->route];
	struct own_socket own = {.root = route,
				 .mark = route,
				 .route = route,
				 .slot = session_slot(session),
				 .serial = record->serial,
				 .front = session->front_key,
				 .accepted = session->front_looked};

	if (record->front == FRONT_FED)
		own.grouped = session->thread->worker->chains->listeners[record->listener].group;
	if (record->chained) {
		own.front = 0;
		own.root = flow->chain_root;
		own.mark = flow->chain_mark;
		own.depth = flow->chain_depth;
	}
	return own;
}

static void add(struct session *session, unsigned side, uint64_t key, uint64_t remote,
		uint32_t begun)
{
	struct own_socket own = describe(session);

	own.remote = remote;
	own.begun = begun;
	session->side[side].own_key = key;
	own_sockets_add(&session->thread->worker->chains->table, key, &own);
}

/* `file`: which listener of ours a UNIX stream goes to; 0: none. `begun`: before connect(2). */
static int note(struct session *session, unsigned side, int fd, const struct address *remote,
		uint64_t file, uint32_t begun)
{
	const struct chains *chains = session->thread->worker->chains;
	const struct config_leg *leg = session_leg(session, side);
	struct address local, there;
	uint64_t key;

	if (!is_ip(leg->row->domain) && !(chains->kinds & kind_of(leg)))
		return 0;
	if (leg->row->domain == AF_UNIX && !is_connectionless(leg->row) && !file)
		return 0;
	if (socket_sender_address(fd, &local) < 0)
		return 0;
	there = settled(remote, &local);
	/* A socket that is bound to the group that it sends to has the group as its own address. */
	if (is_ip(leg->row->domain) && !address_is_multicast(&there) &&
	    is_same(leg, &local, &there))
		return -ECONNREFUSED;
	key = chains->kinds & kind_of(leg)
		      ? hash_address(session->thread, leg, netns_of(session, side, fd), &local)
		      : 0;
	if (key)
		add(session, side, key,
		    is_connectionless(leg->row) ? 0
		    : file			? file
						: hash_address(session->thread, leg, 0, &there),
		    begun);
	return 0;
}

/* Whether a session of this route, behind that one, would close a loop. */
static bool closes(const struct own_socket *own, uint32_t route_slot)
{
	return own->root == route_slot || own->mark == route_slot || own->route == route_slot ||
	       own->depth >= LEDGER_ROUTES_MAX;
}

/* The listener of ours that a UNIX socket goes to; NULL: none. */
static const struct own_file *find_listener(const struct session *session, unsigned side, int fd,
					    const struct address *address)
{
	const struct worker *worker = session->thread->worker;
	const struct config_leg *leg = session_leg(session, side);

	if (leg->row->domain != AF_UNIX || !(worker->chains->kinds & kind_of(leg)))
		return NULL;
	return find_file(worker->chains, hash_file(worker, netns_of(session, side, fd), address));
}

/* Datagrams that loop back are dropped by the receiving listener. Reliable ones are not sent at
 * all: their reader might be waiting for room in a queue that only dropping them would make. */
static void judge(struct session *session, unsigned side, const struct own_file *listener)
{
	struct own_socket own = describe(session);
	struct chain chain = {.route = own.route};

	session->leads_back = listener && side && is_connectionless(session_row(session, side)) &&
			      closes(&own, listener->route);
	if (session->leads_back)
		chain_report(session->thread, listener->route, &chain);
}

int chain_connect(struct session *session, int fd, const struct address *address)
{
	unsigned side = session_connecting_side(session);
	const struct own_file *listener = find_listener(session, side, fd, address);
	uint64_t file = 0;
	uint32_t begun = own_sockets_now(&session->thread->worker->chains->table);
	int r, noted = 0;

	judge(session, side, listener);
	/* Only a listener of ours will see the name, and it is known before any thread can
	 * accept. */
	if (listener && !is_connectionless(session_row(session, side)) && !socket_take_name(fd))
		file = listener->file;
	if (file)
		note(session, side, fd, address, file, begun);
	r = side && roam_is_asked(session) ? roam_begin(session, fd, address)
					   : socket_connect(fd, address);
	if (r && r != -EINPROGRESS)
		return r;
	if (!file)
		noted = note(session, side, fd, address, file, begun);
	if (noted)
		socket_set_abort(fd); /* or the port would be unavailable for a minute to the
				       * server that should listen there */
	return noted ? noted : r;
}

void chain_adopt(struct session *session, unsigned side)
{
	int fd = session_record(session)->fd[side];
	const struct own_file *listener;
	struct address remote;

	if (fd < 0)
		return;
	if (side && roam_is_asked(session) && roam_has_begun(session)) {
		remote.len = session_flow(session)->far_len;
		memcpy(&remote.storage, session_flow(session)->far, remote.len);
	} else if (socket_peer_address(fd, &remote) < 0) {
		return;
	}
	listener = find_listener(session, side, fd, &remote);
	judge(session, side, listener);
	note(session, side, fd, &remote, listener ? listener->file : 0, 0);
}

/* The entry of a stream stays: see own_sockets.h. A datagram socket's address may be reused at
 * once. */
void chain_forget(struct session *session, unsigned side)
{
	uint64_t key = session->side[side].own_key;

	session->side[side].own_key = 0;
	if (key && is_connectionless(session_row(session, side)))
		own_sockets_remove(&session->thread->worker->chains->table, key);
}

/* ---- fronts that come in ---- */

/* Whether what was accepted is the connection that the socket of ours made. */
static bool is_its_connection(const struct thread *thread, const struct own_listener *listener,
			      const struct config_leg *leg, int fd, const struct own_socket *own)
{
	struct address there;

	if (leg->row->domain == AF_UNIX)
		return own->remote == listener->file;
	if (!socket_local_address(fd, &there) &&
	    hash_address(thread, leg, 0, &there) == own->remote)
		return true;
	return !socket_original_address(fd, &there) &&
	       hash_address(thread, leg, 0, &there) == own->remote;
}

static bool is_of_this_machine(const struct address *peer)
{
	const struct sockaddr_vm *vm = (const void *)&peer->storage;

	return peer->storage.ss_family != AF_VSOCK || vm->svm_cid == VMADDR_CID_LOCAL;
}

static bool is_power_of_two(uint32_t number)
{
	return !(number & (number - 1));
}

/* A root that was accepted while a session of ours was in connect(2) under the client's very
 * address is that one's child. True: it should have been refused then. At most `more` such
 * misses in a row are corrected. */
static bool resolve(const struct chains *chains, struct own_socket *own, unsigned more)
{
	struct own_socket before;

	if (!more || own->depth || !own->front ||
	    !own_sockets_find(&chains->table, own->front, &before) ||
	    own->accepted - before.begun > before.stamp - before.begun)
		return false;
	if (resolve(chains, &before, more - 1) || closes(&before, own->route))
		return true;
	own->root = before.root;
	own->depth = before.depth + 1;
	own->mark = is_power_of_two(own->depth) ? own->route : before.mark;
	return false;
}

void chain_find(const struct thread *thread, uint32_t listener, const struct config_leg *leg,
		int fd, const struct address *peer, uint32_t route_slot, struct chain *ret)
{
	const struct chains *chains = thread->worker->chains;
	const struct own_listener *own_listener = &chains->listeners[listener];
	struct own_socket own;

	*ret = (struct chain){.looked = own_sockets_now(&chains->table)};
	if (is_of_this_machine(peer))
		ret->key = hash_address(thread, leg, own_listener->netns, peer);
	if (!ret->key || !own_sockets_find(&chains->table, ret->key, &own))
		return;
	if (fd >= 0 && !is_its_connection(thread, own_listener, leg, fd, &own)) {
		ret->key = 0;
		return;
	}
	ret->is_loop = resolve(chains, &own, LATE_MAX) || closes(&own, route_slot);
	ret->is_echo = !ret->is_loop && own.grouped && own_listener->group;
	ret->is_child = !ret->is_loop && !ret->is_echo;
	own.depth++;
	ret->root = own.root;
	ret->depth = own.depth;
	ret->mark = is_power_of_two(own.depth) ? route_slot : own.mark;
	ret->route = own.route;
	ret->slot = own.slot;
	ret->serial = own.serial;
}

void chain_join(struct session *session, const struct chain *chain)
{
	struct ledger_flow *flow = session_flow(session);

	if (!chain->is_child) {
		session->front_key = chain->key;
		session->front_looked = chain->looked;
		return;
	}
	flow->chain_root = chain->root;
	flow->chain_mark = chain->mark;
	flow->chain_depth = chain->depth;
	flow->chain_slot = chain->slot;
	flow->chain_serial = chain->serial;
	session_record(session)->chained = 1;
}

/* ---- loops ---- */

/* All the way back to the first. A session that ends meanwhile, and whose slot another one takes,
 * has another serial. */
void chain_end(const struct thread *thread, const struct chain *chain)
{
	const struct worker *worker = thread->worker;
	const struct ledger *ledger = worker->ledger;
	uint32_t slot = chain->slot, serial = chain->serial;

	for (uint32_t i = 0; i < chain->depth; i++) {
		if (slot >= ledger->n_sessions || ledger->sessions[slot].serial != serial)
			return;
		atomic_store(&worker->sessions[slot].looped, serial);
		if (!ledger->sessions[slot].chained)
			return;
		serial = ledger->flows[slot].chain_serial;
		slot = ledger->flows[slot].chain_slot;
	}
}

void chain_report(const struct thread *thread, uint32_t route_slot, const struct chain *chain)
{
	const struct ledger *ledger = thread->worker->ledger;
	char text[RATELIMIT_TEXT_MAX];
	uint32_t times;

	if (ratelimit_allows(thread, RATELIMIT_LOOP, route_slot, &times))
		log_warning(
			"route %s: a target of route %s leads back to it: a loop; refused, and counted as loop%s; change the target of one of "
			"the routes involved",
			ledger->routes[route_slot].name, ledger->routes[chain->route].name,
			ratelimit_times(times, text));
}

bool chain_is_ended(const struct session *session)
{
	return session->looped && session->looped == session_record(session)->serial;
}
