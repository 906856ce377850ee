/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names that netlink has numbers for, as ip(8) writes them; and the names of interfaces, which are remembered for a moment: a dump
 * asks for the same few again and again, and a rename is heard of at once where links are listened to.
 */
#include "netlink.h"

#include <linux/rtnetlink.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REMEMBERED = 64, MOMENT_MS = 100 };

const struct netlink_name netlink_scopes[] = {
	{RT_SCOPE_UNIVERSE, "global"}, {RT_SCOPE_NOWHERE, "nowhere"}, {RT_SCOPE_HOST, "host"},
	{RT_SCOPE_LINK, "link"},       {RT_SCOPE_SITE, "site"},
};
const size_t netlink_n_scopes = sizeof netlink_scopes / sizeof *netlink_scopes;

const struct netlink_name netlink_protocols[] = {
	{RTPROT_UNSPEC, "unspec"},   {RTPROT_REDIRECT, "redirect"}, {RTPROT_KERNEL, "kernel"}, {RTPROT_BOOT, "boot"},
	{RTPROT_STATIC, "static"},   {RTPROT_GATED, "gated"},	    {RTPROT_RA, "ra"},	       {RTPROT_MRT, "mrt"},
	{RTPROT_ZEBRA, "zebra"},     {RTPROT_BIRD, "bird"},	    {RTPROT_BABEL, "babel"},   {RTPROT_DNROUTED, "dnrouted"},
	{RTPROT_XORP, "xorp"},	     {RTPROT_NTK, "ntk"},	    {RTPROT_DHCP, "dhcp"},     {18, "keepalived"},
	{42, "babel"},		     {186, "bgp"},		    {187, "isis"},	       {188, "ospf"},
	{189, "rip"},		     {192, "eigrp"},
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
	{RTN_UNSPEC, "none"},	       {RTN_UNICAST, "unicast"},       {RTN_LOCAL, "local"},
	{RTN_BROADCAST, "broadcast"},  {RTN_ANYCAST, "anycast"},       {RTN_MULTICAST, "multicast"},
	{RTN_BLACKHOLE, "blackhole"},  {RTN_UNREACHABLE, "unreachable"}, {RTN_PROHIBIT, "prohibit"},
	{RTN_THROW, "throw"},	       {RTN_NAT, "nat"},	       {RTN_XRESOLVE, "xresolve"},
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
	uint32_t index;
	uint64_t until;
	char name[IF_NAMESIZE];
} remembered[REMEMBERED];

/* Whoever finds it taken asks the kernel: nobody waits. */
static atomic_flag taken = ATOMIC_FLAG_INIT;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void netlink_learn_interface(uint32_t index, const char *name)
{
	struct remembered *slot = &remembered[index % REMEMBERED];

	if (atomic_flag_test_and_set(&taken))
		return;
	slot->index = index;
	slot->until = now_ms() + MOMENT_MS;
	snprintf(slot->name, sizeof slot->name, "%s", name);
	atomic_flag_clear(&taken);
}

static bool recall(uint32_t index, char name[IF_NAMESIZE])
{
	const struct remembered *slot = &remembered[index % REMEMBERED];
	bool known;

	if (atomic_flag_test_and_set(&taken))
		return false;
	known = slot->index == index && slot->until > now_ms();
	if (known)
		memcpy(name, slot->name, IF_NAMESIZE);
	atomic_flag_clear(&taken);
	return known;
}

const char *netlink_interface(uint32_t index, char name[IF_NAMESIZE])
{
	if (recall(index, name))
		return name;
	if (if_indextoname(index, name))
		netlink_learn_interface(index, name);
	else
		snprintf(name, IF_NAMESIZE, "if%u", index);
	return name;
}

unsigned netlink_interface_flags(uint32_t index)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned flags = 0;

	netlink_interface(index, request.ifr_name);
	if (fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &request))
		flags = (unsigned)(unsigned short)request.ifr_flags;
	if (fd >= 0)
		close(fd);
	return flags;
}
