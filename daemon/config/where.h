/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where an endpoint is, in a form in which a listener and a target can be compared: which of the
 * listeners of a configuration a target certainly leads to. What only the running machine knows
 * (names, its interfaces' addresses, symbolic links) leads nowhere here.
 */
#pragma once

#include "base/index.h"
#include "config/config.h"

struct arena;

enum where_kind { WHERE_IP, WHERE_PATH, WHERE_ABSTRACT, WHERE_VSOCK };

struct where {
	enum where_kind kind;
	int type;	     /* SOCK_STREAM, ... */
	const char *netns;   /* as given; "" is the daemon's own, or irrelevant */
	uint32_t port, part; /* part: an IPv6 scope, or a vsock context */
	uint8_t bytes[112];  /* 16 of an IPv6 address, IPv4 mapped; or a UNIX name; the rest is 0 */
};

/* The listeners of a configuration. All zero: none. */
struct where_map {
	struct where *wheres; /* by number; owned by `arena` */
	uint32_t *routes;
	uint32_t count;
	struct index index;
};

/* Adds a route's listeners. 0 or -ENOMEM. */
int where_add_route(struct where_map *map, struct arena *arena, const struct config *config,
		    uint32_t route);

/* The route whose listener this target certainly leads to, at that port where the port depends on
 * the client. False: none, as far as the text
 * shows. */
bool where_find(const struct where_map *map, const struct config_endpoint *target, unsigned port,
		uint32_t *route);

void where_map_done(struct where_map *map);
