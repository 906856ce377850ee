/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets that the service manager passes, sd_listen_fds_with_names(3): by name, with what they
 * are. The table is filled before the first fork and never changes, so that a process without these
 * sockets can check a configuration that uses them.
 */
#pragma once

#include "net/address.h"

#include <stddef.h>

enum { PASSED_MAX = 64, PASSED_NAME_MAX = 64 };

struct passed {
	char name[PASSED_NAME_MAX];
	int fd; /* the keeper's */
	int domain, type, protocol;
	struct address address;
};

/* Adds one. -ENOSPC, -ENOTSOCK, or -EEXIST: the name is taken, as when a unit has several sockets
 * without their own FileDescriptorName=. */
int passed_add(const char *name, int fd);

/* By name, or by number from 0 on; NULL: there is none. */
const struct passed *passed_find(const char *name);
const struct passed *passed_at(unsigned index);

/* The family of such a socket, as its plugin is named; NULL: not a known one. */
const char *passed_family(const struct passed *passed);
