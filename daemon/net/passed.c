/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets that the service manager passes. */
#include "net/passed.h"

#include "net/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static struct passed table[PASSED_MAX];
static unsigned count;

int passed_add(const char *name, int fd)
{
	struct passed *passed = &table[count];

	if (passed_find(name))
		return -EEXIST;
	if (count == PASSED_MAX)
		return -ENOSPC;
	*passed = (struct passed){.fd = fd,
				  .domain = socket_get_int(fd, SO_DOMAIN),
				  .type = socket_get_int(fd, SO_TYPE),
				  .protocol = socket_get_int(fd, SO_PROTOCOL)};
	if (passed->domain < 0 || socket_local_address(fd, &passed->address) < 0)
		return -ENOTSOCK;
	/* A service manager may set it to blocking again, for all processes that share it. */
	fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	snprintf(passed->name, sizeof passed->name, "%s", name);
	count++;
	return 0;
}

const struct passed *passed_find(const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (!strncmp(table[i].name, name, sizeof table[i].name - 1))
			return &table[i];
	return NULL;
}

const struct passed *passed_at(unsigned index)
{
	return index < count ? &table[index] : NULL;
}

const char *passed_family(const struct passed *passed)
{
	switch (passed->domain) {
	case AF_UNIX:
		return "unix";
	case AF_INET:
		return "inet";
	case AF_INET6:
		return "inet6";
	case AF_NETLINK:
		return "netlink";
	case AF_VSOCK:
		return "vsock";
	}
	return NULL;
}
