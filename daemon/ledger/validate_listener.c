/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A listener's record: its sockets, and its place in its generation. */
#include "ledger/validate_listener.h"

#include "base/index.h"
#include "config/config.h"
#include "ledger/claim.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/mend.h"
#include "net/socket.h"

#include <string.h>
#include <sys/stat.h>

/* One that is listened on has a socket in each of its places: it was one for all, or one a
 * thread. */
static bool has_sockets(struct validating *v, struct ledger_listener *record, uint32_t open)
{
	if (record->state != LISTENER_OPEN || (open && open == record->n_fds))
		return true;
	if (open != 1 || record->fds[0] == -1)
		return false;
	mend_word(v, &record->n_fds, 1);
	return true;
}

/* The keeper is about to open it, for a configuration that no worker knows yet: its sockets come
 * one by one. */
static bool is_being_opened(const struct validating *v, const struct ledger_listener *record)
{
	return record->state == LISTENER_PENDING &&
	       record->generation == v->generations->number + 1;
}

/* Whether a socket is bound to the address of its record's place in the configuration. */
static bool is_bound(const struct config_leg *leg, int fd)
{
	struct address address;

	return !socket_local_address(fd, &address) && socket_address_fits(&leg->address, &address);
}

static bool is_bound_there(const struct validating *v, const struct ledger_listener *record)
{
	const struct config_leg *leg = generation_listens_by(v->generations, record);

	return leg && record->n_fds && is_bound(leg, record->fds[0]);
}

/* What other families say of protocol, state and name differs. */
static bool is_described(const struct config_leg *leg)
{
	switch (leg->row->domain) {
	case AF_INET:
	case AF_INET6:
	case AF_UNIX:
		return true;
	}
	return false;
}

/* A socket says of itself what is configured in its record's place: another process may have
 * returned another's. */
static bool is_its_own(const struct validating *v, const struct ledger_listener *record, int fd)
{
	const struct config_leg *leg = generation_listens_by(v->generations, record);
	const struct config_endpoint *endpoint = generation_listens(v->generations, record);

	if (!leg || !endpoint)
		return false;
	if (socket_get_int(fd, SO_DOMAIN) != leg->row->domain ||
	    socket_get_int(fd, SO_TYPE) != leg->row->type)
		return false;
	if (record->state != LISTENER_OPEN || !is_described(leg) ||
	    endpoint->values[ENDPOINT_FD].value.text)
		return true;
	if (leg->row->protocol && socket_get_int(fd, SO_PROTOCOL) != leg->row->protocol)
		return false;
	if (socket_get_int(fd, SO_ACCEPTCONN) != !socket_has_no_connections(leg->row))
		return false;
	return leg->host_name || leg->interface || is_bound(leg, fd);
}

/* In a ledger that was taken over, nothing is prepared; what waits has no sockets, and what is
 * open is of the newest generation. */
static bool state_fits(struct validating *v, struct ledger_listener *record)
{
	if (v->ledger->kept)
		return true;
	if (record->state == LISTENER_WAITING)
		mend_word(v, &record->n_fds, 0);
	return record->state != LISTENER_PENDING &&
	       (record->state == LISTENER_LEAVING || record->generation == v->generations->number);
}

static bool listener_fits(struct validating *v, struct ledger_listener *record)
{
	bool opening = is_being_opened(v, record);
	uint32_t open = 0;

	if (record->state > LISTENER_WAITING || record->n_fds > ledger_sockets(record) ||
	    (!opening && !generation_listens_by(v->generations, record)) || !state_fits(v, record))
		return false;
	for (uint32_t k = 0; k < record->n_fds; k++) {
		if (!claim_fd(v, record->fds[k], S_IFSOCK) || claim_is_twice(v, record->fds[k]))
			return false;
		if (!v->ledger->kept && record->fds[k] != -1 &&
		    !is_its_own(v, record, record->fds[k]))
			return false;
		open += record->fds[k] != -1;
	}
	return opening || has_sockets(v, record, open);
}

/* Its last socket was closed, and the worker died. */
static bool has_left(const struct ledger_listener *record)
{
	for (uint32_t k = 0; k < ledger_sockets(record); k++)
		if (record->fds[k] != -1)
			return false;
	return record->state == LISTENER_LEAVING;
}

static void drop_listener(struct validating *v, struct ledger_listener *record)
{
	memset(record, 0, sizeof *record);
	v->ledger->keeper->dropped_listeners++;
}

static uint64_t place_hash(const struct ledger_listener *record)
{
	const uint32_t place[] = {record->generation, record->route, record->endpoint, record->leg};

	return index_hash(place, sizeof place, 0);
}

void validate_listener_places(struct validating *v)
{
	struct index index = {0};

	for (uint32_t i = 0; i < ledger_listeners_high(v->ledger); i++) {
		struct ledger_listener *record = &v->ledger->listeners[i];
		uint32_t other;

		if (record->state != LISTENER_OPEN)
			continue;
		if (!index_next(&index, place_hash(record), &(size_t){0}, &other)) {
			if (index_add(&index, place_hash(record), i) < 0)
				break;
			continue;
		}
		if (is_bound_there(v, &v->ledger->listeners[other]) || !is_bound_there(v, record)) {
			drop_listener(v, record);
			continue;
		}
		index_remove(&index, place_hash(record), other);
		drop_listener(v, &v->ledger->listeners[other]);
		if (index_add(&index, place_hash(record), i) < 0)
			break;
	}
	index_done(&index);
}

void validate_listener(struct validating *v, uint32_t index)
{
	struct ledger_listener *record = &v->ledger->listeners[index];

	if (record->state == LISTENER_FREE)
		return;
	ledger_hold_adopted(v->ledger, HAND_LISTENER, index);
	if (!listener_fits(v, record)) {
		drop_listener(v, record);
		return;
	}
	if (has_left(record))
		record->state = LISTENER_FREE;
	for (uint32_t k = 0; k < record->n_fds; k++)
		claim_keep(v, record->fds[k]);
}
