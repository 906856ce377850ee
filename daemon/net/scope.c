/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The socket is asked: it answers for its own namespace, whatever the thread's is. */
#include "net/scope.h"

#include "net/netns.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int scope_fill(int fd, const char *interface, const struct address *from, struct address *ret)
{
	struct ifreq request = {0};

	*ret = *from;
	if (!interface || ret->storage.ss_family != AF_INET6)
		return 0;
	if (strlen(interface) >= sizeof request.ifr_name)
		return -ENODEV;
	strcpy(request.ifr_name, interface);
	if (!ioctl(fd, SIOCGIFINDEX, &request))
		((struct sockaddr_in6 *)&ret->storage)->sin6_scope_id =
			(uint32_t)request.ifr_ifindex;
	else if (errno != ENODEV || interface[strspn(interface, "0123456789")])
		return -errno;
	return 0;
}

int scope_find(const char *netns, const char *interface, const struct address *from,
	       struct address *ret)
{
	int before = -1, fd, r;

	*ret = *from;
	if (!interface)
		return 0;
	r = netns ? netns_enter(netns, &before) : 0;
	if (r < 0)
		return r;
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : scope_fill(fd, interface, from, ret);
	if (fd >= 0)
		close(fd);
	if (netns)
		netns_leave(before);
	return r;
}
