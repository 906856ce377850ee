/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection to this machine's own loopback reaches a listener of that address, else one of every
 * address; TCP and MPTCP meet. A listener that is bound to an interface, or that takes what is
 * another machine's, is not certainly reached, and neither is a multicast group: what comes back
 * from there is dropped when it comes.
 */
#include "config/where.h"

#include "base/arena.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static const struct spliced_value *find_value(const struct config_leg *leg, const char *name)
{
	const struct spliced_option *option = family_option(leg->family, name);

	return option ? &leg->values[option - leg->family->options].value : NULL;
}

static bool is_on(const struct config_leg *leg, const char *name)
{
	const struct spliced_value *value = find_value(leg, name);

	return value && value->state != SPLICED_UNSET && value->number;
}

/* Only what stays within the machine goes by way of lo. */
static bool is_elsewhere(const struct config_leg *leg)
{
	const struct spliced_value *interface = find_value(leg, "interface");

	return (interface && interface->state != SPLICED_UNSET &&
		strcmp(interface->text, "lo") != 0) ||
	       is_on(leg, "transparent") || is_on(leg, "freebind");
}

static bool is_multicast(const uint8_t bytes[16])
{
	return bytes[0] == 0xff ||
	       (!memcmp(bytes, mapped, sizeof mapped) && (bytes[12] & 0xf0) == 0xe0);
}

static bool describe_ip(const struct address *address, struct where *ret)
{
	const struct sockaddr_in *in = (const void *)&address->storage;
	const struct sockaddr_in6 *in6 = (const void *)&address->storage;

	ret->kind = WHERE_IP;
	if (address->storage.ss_family == AF_INET) {
		memcpy(ret->bytes, mapped, sizeof mapped);
		memcpy(ret->bytes + sizeof mapped, &in->sin_addr, sizeof in->sin_addr);
		ret->port = ntohs(in->sin_port);
	} else {
		memcpy(ret->bytes, &in6->sin6_addr, sizeof in6->sin6_addr);
		ret->port = ntohs(in6->sin6_port);
		ret->part = in6->sin6_scope_id;
	}
	return !is_multicast(ret->bytes);
}

/* "//" and "/./" mean the same as "/". */
static void copy_path(const char *path, uint8_t *to)
{
	while (*path) {
		if (path[0] == '/' && path[1] == '/')
			path++;
		else if (path[0] == '/' && path[1] == '.' && path[2] == '/')
			path += 2;
		else
			*to++ = (uint8_t)*path++;
	}
}

static bool describe_unix(const struct address *address, struct where *ret)
{
	const struct sockaddr_un *un = (const void *)&address->storage;
	size_t len = address->len - offsetof(struct sockaddr_un, sun_path);

	if (len > sizeof un->sun_path)
		return false;
	ret->kind = un->sun_path[0] ? WHERE_PATH : WHERE_ABSTRACT;
	if (ret->kind == WHERE_ABSTRACT) {
		memcpy(ret->bytes, un->sun_path, len);
		return true;
	}
	copy_path(un->sun_path, ret->bytes);
	ret->netns = ""; /* files are everybody's */
	return true;
}

/* False: it cannot be determined. */
static bool describe(const struct config_endpoint *endpoint, const struct config_leg *leg,
		     struct where *ret)
{
	const struct sockaddr_vm *vm = (const void *)&leg->address.storage;
	const char *netns = endpoint->values[ENDPOINT_NETNS].value.text;

	*ret = (struct where){.type = leg->row->type, .netns = netns ? netns : ""};
	if (leg->host_name || !leg->address.len || is_elsewhere(leg) ||
	    endpoint->values[ENDPOINT_FD].value.text || leg->row->capabilities & SPLICED_FEED)
		return false;
	switch (leg->address.storage.ss_family) {
	case AF_INET:
	case AF_INET6:
		return describe_ip(&leg->address, ret);
	case AF_UNIX:
		return describe_unix(&leg->address, ret);
	case AF_VSOCK:
		ret->kind = WHERE_VSOCK;
		ret->port = vm->svm_port;
		ret->part = vm->svm_cid;
		return true;
	}
	return false;
}

static uint64_t hash(const struct where *where)
{
	uint32_t numbers[] = {(uint32_t)where->kind, (uint32_t)where->type, where->port,
			      where->part};

	return index_hash_text(where->netns, index_hash(where->bytes, sizeof where->bytes,
							index_hash(numbers, sizeof numbers, 0)));
}

static bool is_same(const struct where *a, const struct where *b)
{
	return a->kind == b->kind && a->type == b->type && a->port == b->port &&
	       a->part == b->part && !strcmp(a->netns, b->netns) &&
	       !memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static bool look_up(const struct where_map *map, const struct where *where, uint32_t *route)
{
	uint64_t key = hash(where);
	uint32_t number;
	size_t at = 0;

	while (index_next(&map->index, key, &at, &number))
		if (is_same(&map->wheres[number], where)) {
			*route = map->routes[number];
			return true;
		}
	return false;
}

static int add(struct where_map *map, struct arena *arena, const struct where *where,
	       uint32_t route)
{
	uint32_t ignored;

	if (look_up(map, where, &ignored))
		return 0;
	map->wheres = arena_grow(arena, map->wheres, map->count, sizeof *map->wheres);
	map->routes = arena_grow(arena, map->routes, map->count, sizeof *map->routes);
	if (!map->wheres || !map->routes)
		return -ENOMEM;
	map->wheres[map->count] = *where;
	map->routes[map->count] = route;
	return index_add(&map->index, hash(where), map->count++);
}

/* No address in particular: of IPv6, or of IPv4. */
static struct where every_address(const struct where *where, bool is_inet)
{
	struct where ret = *where;

	ret.part = 0;
	memset(ret.bytes, 0, sizeof ret.bytes);
	if (is_inet)
		memcpy(ret.bytes, mapped, sizeof mapped);
	return ret;
}

static int add_leg(struct where_map *map, struct arena *arena,
		   const struct config_endpoint *endpoint, const struct config_leg *leg,
		   uint32_t route)
{
	struct where where, both, every;
	int r;

	if (!describe(endpoint, leg, &where))
		return 0;
	r = add(map, arena, &where, route);
	every = every_address(&where, false);
	if (r || where.kind != WHERE_IP || !is_same(&where, &every) || !find_value(leg, "v6only") ||
	    is_on(leg, "v6only"))
		return r;
	both = every_address(&where, true);
	return add(map, arena, &both, route);
}

int where_add_route(struct where_map *map, struct arena *arena, const struct config *config,
		    uint32_t route)
{
	const struct config_route *listens = &config->routes[route];
	int r = 0;

	for (unsigned i = 0; i < listens->n_listen; i++)
		for (unsigned k = 0; k < listens->listen[i].n_legs && !r; k++)
			r = add_leg(map, arena, &listens->listen[i], &listens->listen[i].legs[k],
				    route);
	return r;
}

/* connect(2) to no address in particular goes to the loopback. */
static void settle(struct where *where)
{
	struct where every6 = every_address(where, false), every = every_address(where, true);

	if (is_same(where, &every6))
		where->bytes[15] = 1;
	else if (is_same(where, &every))
		memcpy(where->bytes + sizeof mapped, (const uint8_t[]){127, 0, 0, 1}, 4);
}

static bool is_loopback(const struct where *where)
{
	return where->kind == WHERE_IP &&
	       ((!memcmp(where->bytes, mapped, sizeof mapped) && where->bytes[12] == 127) ||
		IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)(const void *)where->bytes));
}

bool where_find(const struct where_map *map, const struct config_endpoint *target, unsigned port,
		uint32_t *route)
{
	struct where where;

	/* A name has two legs, and no address. */
	if (target->n_legs != 1 || !describe(target, &target->legs[0], &where))
		return false;
	if (target->follows_port)
		where.port = port;
	if (where.kind == WHERE_IP)
		settle(&where);
	if (look_up(map, &where, route))
		return true;
	if (is_loopback(&where)) {
		where = every_address(&where, !memcmp(where.bytes, mapped, sizeof mapped));
		return look_up(map, &where, route);
	}
	if (where.kind != WHERE_VSOCK || where.part != VMADDR_CID_LOCAL)
		return false;
	where.part = VMADDR_CID_ANY;
	return look_up(map, &where, route);
}

void where_map_done(struct where_map *map)
{
	index_done(&map->index);
}
