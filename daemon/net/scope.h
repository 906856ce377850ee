/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scopes: fe80::1%eth0 is an address of the interface that has this name in the network namespace
 * of the socket, when it is bound or connected. Its index there differs from the one in the
 * daemon's namespace, and is not known before.
 */
#pragma once

#include "net/address.h"

/* Copies an address and sets its scope to the interface's index in the socket's network namespace;
 * interface NULL: it has no scope. If the interface is a number that is not a name, it is an index,
 * which the address has already. `ret` may be `from`. 0; -ENODEV: there is no such interface
 * there. */
int scope_fill(int fd, const char *interface, const struct address *from, struct address *ret);

/* The same without a socket, in a network namespace (netns.h; NULL: the daemon's own). 0 or
 * negative errno. */
int scope_find(const char *netns, const char *interface, const struct address *from,
	       struct address *ret);
