/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Datagrams of inet and inet6. A socket bound to every address receives with each message its
 * destination address, so that the reply is sent from it: a client does not accept an answer from
 * another address. The interface that a message arrived on does not determine the way back, except
 * for link-local addresses, which need it.
 */
#include "ip/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

/* ---- replies ---- */

static int put_control(void *control, size_t size, int level, int type, const void *data,
		       size_t len)
{
	struct cmsghdr header = {.cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type};

	if (CMSG_SPACE(len) > size)
		return 0;
	memset(control, 0, CMSG_SPACE(len));
	memcpy(control, &header, sizeof header);
	memcpy((char *)control + CMSG_LEN(0), data, len);
	return (int)CMSG_SPACE(len);
}

static int reply_inet(const struct cmsghdr *cmsg, void *control, size_t size)
{
	struct in_pktinfo asked, reply = {0};

	memcpy(&asked, CMSG_DATA(cmsg), sizeof asked);
	reply.ipi_spec_dst = asked.ipi_spec_dst;
	return put_control(control, size, IPPROTO_IP, IP_PKTINFO, &reply, sizeof reply);
}

static int reply_inet6(const struct cmsghdr *cmsg, void *control, size_t size)
{
	struct in6_pktinfo asked, reply = {0};

	memcpy(&asked, CMSG_DATA(cmsg), sizeof asked);
	if (IN6_IS_ADDR_MULTICAST(&asked.ipi6_addr))
		return 0;
	reply.ipi6_addr = asked.ipi6_addr;
	if (IN6_IS_ADDR_LINKLOCAL(&asked.ipi6_addr))
		reply.ipi6_ifindex = asked.ipi6_ifindex;
	return put_control(control, size, IPPROTO_IPV6, IPV6_PKTINFO, &reply, sizeof reply);
}

static const struct cmsghdr *find(const struct msghdr *received, int level, int type)
{
	struct msghdr *header = (struct msghdr *)(uintptr_t)received;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg))
		if (cmsg->cmsg_level == level && cmsg->cmsg_type == type)
			return cmsg;
	return NULL;
}

/* For IPv4 messages an IPv6 socket reports both kinds of control data; only IPv4's has our own
 * address if the message was a broadcast. */
int ip_reply(const struct spliced_options *options, const struct msghdr *received, void *control,
	     size_t size)
{
	const struct cmsghdr *inet = find(received, IPPROTO_IP, IP_PKTINFO);
	const struct cmsghdr *inet6 = inet ? NULL : find(received, IPPROTO_IPV6, IPV6_PKTINFO);

	(void)options;
	if (inet)
		return reply_inet(inet, control, size);
	return inet6 ? reply_inet6(inet6, control, size) : 0;
}

/* What was sent to one address has that in both places, also where it is another machine's and was
 * routed here (IP_TRANSPARENT). */
int ip_copied(const struct spliced_options *options, const struct msghdr *received)
{
	const struct cmsghdr *inet = find(received, IPPROTO_IP, IP_PKTINFO);
	struct in_pktinfo asked;

	(void)options;
	if (!inet)
		return 0;
	memcpy(&asked, CMSG_DATA(inet), sizeof asked);
	return asked.ipi_spec_dst.s_addr != asked.ipi_addr.s_addr;
}

/* ---- groups ---- */

/* host->scope: the interface where the group is, in the socket's network namespace; 0: it is the
 * kernel's choice. */
static int find_interface(int fd, const struct spliced_options *options, struct ip_host *host)
{
	const struct spliced_value *name = spliced_value(options, IP_OPTION_INTERFACE);

	if (name->state != SPLICED_UNSET)
		return ip_index(fd, options, IP_OPTION_INTERFACE, name->text, &host->scope);
	return host->interface ? ip_index(fd, options, IP_OPTION_HOST, host->interface,
					  &host->scope)
			       : 0;
}

/* The one sender that is listened to. -ENOENT: anybody. */
static int read_source(const struct spliced_options *options, int domain,
		       struct sockaddr_storage *ret)
{
	const struct spliced_value *source = spliced_value(options, IP_OPTION_MULTICAST_SOURCE);
	struct ip_host host = {0};
	socklen_t len;

	if (source->state == SPLICED_UNSET)
		return -ENOENT;
	if (inet_pton(domain, source->text, host.bytes) != 1) {
		SPLICED_ERROR(options, IP_OPTION_MULTICAST_SOURCE,
			      "\"%s\" is not an IPv%d address; write the address of a sender",
			      source->text, domain == AF_INET ? 4 : 6);
		return -EINVAL;
	}
	ip_sockaddr(domain, &host, 0, ret, &len);
	return 0;
}

/* A group that an IPv6 socket joined on one interface it receives from all interfaces on which this
 * machine is a member, unless it is bound to that one. */
static int stay_at(int fd, const struct spliced_options *options, int domain, unsigned index)
{
	if (domain != AF_INET6 || !index ||
	    spliced_value(options, IP_OPTION_INTERFACE)->state != SPLICED_UNSET)
		return 0;
	return ip_set(fd, options, IP_OPTION_HOST, SOL_SOCKET, SO_BINDTOIFINDEX, (int)index);
}

/* MCAST_JOIN_GROUP, ip(7): one call for both families. */
static int join(int fd, const struct spliced_options *options, int domain,
		const struct ip_host *host)
{
	int level = domain == AF_INET ? SOL_IP : SOL_IPV6, r;
	struct group_source_req request = {.gsr_interface = host->scope};
	struct group_req any = {.gr_interface = request.gsr_interface};
	socklen_t len;

	/* A group's port is for all programs that joined the group: each receives all of it. */
	r = ip_set(fd, options, -1, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!r)
		r = stay_at(fd, options, domain, request.gsr_interface);
	if (r < 0)
		return r;
	ip_sockaddr(domain, host, 0, &request.gsr_group, &len);
	any.gr_group = request.gsr_group;
	r = read_source(options, domain, &request.gsr_source);
	if (!r)
		r = setsockopt(fd, level, MCAST_JOIN_SOURCE_GROUP, &request, sizeof request) < 0
			    ? -errno
			    : 0;
	else if (r == -ENOENT)
		r = setsockopt(fd, level, MCAST_JOIN_GROUP, &any, sizeof any) < 0 ? -errno : 0;
	else
		return r;
	if (r < 0)
		SPLICED_ERROR(
			options, IP_OPTION_HOST,
			"cannot join the multicast group: %s; set the interface to join it on",
			strerror(-r));
	return r;
}

/* The port is shared with other receivers of the group. A socket bound to the group, which is never
 * a source address, takes no message from them; the kernel chooses its source address, as without
 * bind(2). */
static int bind_port(int fd, const struct spliced_options *options, int domain,
		     const struct ip_host *host)
{
	unsigned port = ip_source_port(options);
	struct sockaddr_storage address;
	socklen_t len;
	int r;

	if (!port)
		return 0;
	r = ip_set(fd, options, IP_OPTION_SOURCE, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!r)
		r = domain == AF_INET
			    ? ip_set(fd, options, IP_OPTION_SOURCE, SOL_IP, IP_MULTICAST_ALL, 0)
			    : ip_set(fd, options, IP_OPTION_SOURCE, SOL_IPV6, IPV6_MULTICAST_ALL,
				     0);
	if (r < 0)
		return r;
	ip_sockaddr(domain, host, port, &address, &len);
	if (!bind(fd, (const struct sockaddr *)&address, len))
		return 0;
	r = -errno;
	SPLICED_ERROR(options, IP_OPTION_SOURCE, "cannot send from port %u: %s", port,
		      strerror(-r));
	return r;
}

static int loops(const struct spliced_options *options)
{
	return spliced_value(options, IP_OPTION_MULTICAST_LOOP)->number && !ip_source_port(options);
}

/* Through which interface, how far, and whether we receive it ourselves. */
static int aim(int fd, const struct spliced_options *options, int domain,
	       const struct ip_host *host)
{
	int is_inet = domain == AF_INET, level = is_inet ? SOL_IP : SOL_IPV6, r;
	int index = (int)host->scope;
	struct ip_mreqn way = {.imr_ifindex = index};

	r = ip_set(fd, options, IP_OPTION_MULTICAST_TTL, level,
		   is_inet ? IP_MULTICAST_TTL : IPV6_MULTICAST_HOPS,
		   (int)spliced_value(options, IP_OPTION_MULTICAST_TTL)->number);
	if (!r)
		r = ip_set(fd, options, IP_OPTION_MULTICAST_LOOP, level,
			   is_inet ? IP_MULTICAST_LOOP : IPV6_MULTICAST_LOOP, loops(options));
	if (!r)
		r = bind_port(fd, options, domain, host);
	if (r < 0 || !index)
		return r;
	if (!is_inet)
		return ip_set(fd, options, IP_OPTION_INTERFACE, level, IPV6_MULTICAST_IF, index);
	if (!setsockopt(fd, level, IP_MULTICAST_IF, &way, sizeof way))
		return 0;
	r = -errno;
	SPLICED_ERROR(options, IP_OPTION_INTERFACE,
		      "cannot send to the multicast group through this interface: %s",
		      strerror(-r));
	return r;
}

static int prepare_group(int fd, const struct spliced_options *options, int domain)
{
	struct ip_host host;
	int r;

	/* A name that is not resolved yet is a machine's. */
	r = ip_host(options, domain, &host);
	if (r < 0 || !ip_is_multicast(domain, &host))
		return r == -EADDRNOTAVAIL ? 0 : r;
	r = find_interface(fd, options, &host);
	if (r < 0)
		return r;
	return options->role == SPLICED_LISTEN ? join(fd, options, domain, &host)
					       : aim(fd, options, domain, &host);
}

/* Requests the destination address of each message; and only multicast groups that this socket
 * joined: otherwise, bound to every address, it would receive those of all other programs. An IPv6
 * socket accepts the options of IPv4 too, for IPv4 traffic. */
static int listen_well(int fd, const struct spliced_options *options, int domain)
{
	int r = domain == AF_INET6 ? ip_set(fd, options, -1, SOL_IPV6, IPV6_RECVPKTINFO, 1) : 0;

	if (!r && domain == AF_INET6)
		r = ip_set(fd, options, -1, SOL_IPV6, IPV6_MULTICAST_ALL, 0);
	if (!r)
		r = ip_set(fd, options, -1, SOL_IP, IP_PKTINFO, 1);
	return r ? r : ip_set(fd, options, -1, SOL_IP, IP_MULTICAST_ALL, 0);
}

int ip_prepare_datagrams(int fd, const struct spliced_options *options, int domain, int open)
{
	int r = options->role == SPLICED_LISTEN ? listen_well(fd, options, domain) : 0;

	if (r || open)
		return r;
	if (spliced_value(options, IP_OPTION_BROADCAST)->number)
		r = ip_set(fd, options, IP_OPTION_BROADCAST, SOL_SOCKET, SO_BROADCAST, 1);
	return r < 0 ? r : prepare_group(fd, options, domain);
}
