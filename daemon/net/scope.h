/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scopes: fe80::1%eth0 is an address of the interface that has this name in the network namespace
 * of the socket, when it is bound or connected. Its index there is another than in the daemon's
 * own, and is not known before.
 */
#pragma once

#include "net/address.h"

/* Puts the index of an interface in a socket's network namespace into a copy of an address;
 * interface NULL: there is none. Where none has a number as its name, that number is an index, and
 * in the address already. `ret` may be `from`. 0; -ENODEV: there is no such interface there. */
int scope_fill(int fd, const char *interface, const struct address *from, struct address *ret);

/* The same before there is a socket, in a network namespace (netns.h; NULL: the daemon's own). 0 or
 * negative errno. */
int scope_find(const char *netns, const char *interface, const struct address *from,
	       struct address *ret);
