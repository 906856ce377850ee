/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names that netlink has numbers for, as ip(8) writes them. The name of an interface is looked up
 * through the socket that reported it, which is in the right network namespace: every socket
 * accepts the requests of netdevice(7). An interface that is gone when its last messages are read
 * keeps its last name.
 */
#include "netlink/netlink.h"

#include <linux/rtnetlink.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { REMEMBERED = 256 };

const struct netlink_name netlink_scopes[] = {
	{RT_SCOPE_UNIVERSE, "global"}, {RT_SCOPE_NOWHERE, "nowhere"}, {RT_SCOPE_HOST, "host"},
	{RT_SCOPE_LINK, "link"},       {RT_SCOPE_SITE, "site"},
};
const size_t netlink_n_scopes = sizeof netlink_scopes / sizeof *netlink_scopes;

const struct netlink_name netlink_protocols[] = {
	{RTPROT_UNSPEC, "unspec"},
	{RTPROT_REDIRECT, "redirect"},
	{RTPROT_KERNEL, "kernel"},
	{RTPROT_BOOT, "boot"},
	{RTPROT_STATIC, "static"},
	{RTPROT_GATED, "gated"},
	{RTPROT_RA, "ra"},
	{RTPROT_MRT, "mrt"},
	{RTPROT_ZEBRA, "zebra"},
	{RTPROT_BIRD, "bird"},
	{RTPROT_BABEL, "babel"},
	{RTPROT_DNROUTED, "dnrouted"},
	{RTPROT_XORP, "xorp"},
	{RTPROT_NTK, "ntk"},
	{RTPROT_DHCP, "dhcp"},
	{18, "keepalived"},
	{42, "babel"},
	{186, "bgp"},
	{187, "isis"},
	{188, "ospf"},
	{189, "rip"},
	{192, "eigrp"},
};
const size_t netlink_n_protocols = sizeof netlink_protocols / sizeof *netlink_protocols;

const struct netlink_name netlink_tables[] = {
	{RT_TABLE_UNSPEC, "unspec"},
	{RT_TABLE_DEFAULT, "default"},
	{RT_TABLE_MAIN, "main"},
	{RT_TABLE_LOCAL, "local"},
};
const size_t netlink_n_tables = sizeof netlink_tables / sizeof *netlink_tables;

const struct netlink_name netlink_types[] = {
	{RTN_UNSPEC, "none"},
	{RTN_UNICAST, "unicast"},
	{RTN_LOCAL, "local"},
	{RTN_BROADCAST, "broadcast"},
	{RTN_ANYCAST, "anycast"},
	{RTN_MULTICAST, "multicast"},
	{RTN_BLACKHOLE, "blackhole"},
	{RTN_UNREACHABLE, "unreachable"},
	{RTN_PROHIBIT, "prohibit"},
	{RTN_THROW, "throw"},
	{RTN_NAT, "nat"},
	{RTN_XRESOLVE, "xresolve"},
};
const size_t netlink_n_types = sizeof netlink_types / sizeof *netlink_types;

const char *netlink_name(const struct netlink_name *names, size_t n, uint32_t number, char text[16])
{
	for (size_t i = 0; i < n; i++)
		if (names[i].number == number)
			return names[i].name;
	snprintf(text, 16, "%u", number);
	return text;
}

/* ---- interfaces ---- */

static struct remembered {
	uint64_t netns;
	int32_t nsid;
	uint32_t index;
	char name[IF_NAMESIZE];
} remembered[REMEMBERED];

/* It never blocks: a thread that finds it locked continues without it. */
static atomic_flag taken = ATOMIC_FLAG_INIT;

static struct remembered *slot_of(const struct netlink_place *place, uint32_t index)
{
	return &remembered[(index ^ (uint32_t)place->netns ^ (uint32_t)place->nsid * 31) %
			   REMEMBERED];
}

void netlink_learn_interface(const struct netlink_place *place, uint32_t index, const char *name)
{
	struct remembered *slot = slot_of(place, index);

	if (!place->netns || atomic_flag_test_and_set(&taken))
		return;
	*slot = (struct remembered){.netns = place->netns, .nsid = place->nsid, .index = index};
	snprintf(slot->name, sizeof slot->name, "%s", name);
	atomic_flag_clear(&taken);
}

static bool recall(const struct netlink_place *place, uint32_t index, char name[IF_NAMESIZE])
{
	const struct remembered *slot = slot_of(place, index);
	bool known;

	if (!place->netns || atomic_flag_test_and_set(&taken))
		return false;
	known = slot->index == index && slot->netns == place->netns && slot->nsid == place->nsid &&
		*slot->name;
	if (known)
		memcpy(name, slot->name, IF_NAMESIZE);
	atomic_flag_clear(&taken);
	return known;
}

const char *netlink_interface(const struct netlink_place *place, uint32_t index,
			      char name[IF_NAMESIZE])
{
	struct ifreq request = {.ifr_ifindex = (int)index};

	if (place->nsid < 0 && !ioctl(place->fd, SIOCGIFNAME, &request)) {
		memcpy(name, request.ifr_name, IF_NAMESIZE);
		netlink_learn_interface(place, index, name);
	} else if (!recall(place, index, name)) {
		snprintf(name, IF_NAMESIZE, "if%u", index);
	}
	return name;
}

unsigned netlink_interface_flags(const struct netlink_place *place, uint32_t index)
{
	struct ifreq request = {0};

	netlink_interface(place, index, request.ifr_name);
	if (place->nsid >= 0 || ioctl(place->fd, SIOCGIFFLAGS, &request) < 0)
		return 0;
	return (unsigned)(unsigned short)request.ifr_flags;
}
