/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses and neighbours, in the words of `ip -json addr` and `ip -json neigh`. */
#include "netlink/netlink.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { LLADDR_BYTES_MAX = 32 };

static const struct netlink_name address_flags[] = {
	{IFA_F_SECONDARY, "secondary"},	      {IFA_F_NODAD, "nodad"},
	{IFA_F_OPTIMISTIC, "optimistic"},     {IFA_F_DADFAILED, "dadfailed"},
	{IFA_F_HOMEADDRESS, "home"},	      {IFA_F_DEPRECATED, "deprecated"},
	{IFA_F_TENTATIVE, "tentative"},	      {IFA_F_PERMANENT, "dynamic"},
	{IFA_F_MANAGETEMPADDR, "mngtmpaddr"}, {IFA_F_NOPREFIXROUTE, "noprefixroute"},
	{IFA_F_MCAUTOJOIN, "autojoin"},	      {IFA_F_STABLE_PRIVACY, "stable-privacy"},
};

static void put_flags(json_t *object, uint32_t flags, int family)
{
	char text[16];

	for (size_t i = 0; i < sizeof address_flags / sizeof *address_flags; i++) {
		uint32_t flag = address_flags[i].number;
		const char *name = address_flags[i].name;

		/* An address that is not permanent is a dynamic one. */
		if (!(flags & flag) == (flag == IFA_F_PERMANENT))
			json_object_set_new(
				object,
				flag == IFA_F_SECONDARY && family == AF_INET6 ? "temporary" : name,
				json_true());
		flags &= ~flag;
	}
	if (!flags)
		return;
	snprintf(text, sizeof text, "%02x", flags);
	netlink_put_text(object, "ifa_flags", text);
}

static const char *family_name(unsigned family)
{
	return family == AF_INET     ? "inet"
	       : family == AF_INET6  ? "inet6"
	       : family == AF_BRIDGE ? "bridge"
				     : "unknown";
}

/* The address itself, and the other end's where there is one. */
static void put_local(json_t *object, int family, const struct nlattr *const *at)
{
	const struct nlattr *local = at[IFA_LOCAL] ? at[IFA_LOCAL] : at[IFA_ADDRESS];
	const struct nlattr *peer = at[IFA_ADDRESS] ? at[IFA_ADDRESS] : local;

	netlink_put_address(object, "local", family, local);
	if (local && peer &&
	    (mnl_attr_get_payload_len(local) != mnl_attr_get_payload_len(peer) ||
	     memcmp(mnl_attr_get_payload(local), mnl_attr_get_payload(peer),
		    mnl_attr_get_payload_len(local)) != 0))
		netlink_put_address(object, "address", family, peer);
}

static void put_lifetimes(json_t *object, const struct nlattr *attribute)
{
	struct ifa_cacheinfo info;

	if (!attribute || mnl_attr_get_payload_len(attribute) < sizeof info)
		return;
	memcpy(&info, mnl_attr_get_payload(attribute), sizeof info);
	netlink_put_number(object, "valid_life_time", info.ifa_valid);
	netlink_put_number(object, "preferred_life_time", info.ifa_prefered);
}

bool netlink_put_inet_address(json_t *object, const struct nlmsghdr *message,
			      const struct netlink_place *place)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *at[IFA_MAX + 1];
	char name[IF_NAMESIZE], text[16];

	if (mnl_nlmsg_get_payload_len(message) < sizeof *info)
		return false;
	netlink_parse(message, sizeof *info, at, IFA_MAX);
	netlink_put_number(object, "ifindex", info->ifa_index);
	netlink_put_text(object, "ifname", netlink_interface(place, info->ifa_index, name));
	netlink_put_text(object, "family", family_name(info->ifa_family));
	put_local(object, info->ifa_family, at);
	netlink_put_number(object, "prefixlen", info->ifa_prefixlen);
	if (netlink_u32(at[IFA_RT_PRIORITY]))
		netlink_put_number(object, "metric", netlink_u32(at[IFA_RT_PRIORITY]));
	netlink_put_address(object, "broadcast", info->ifa_family, at[IFA_BROADCAST]);
	netlink_put_address(object, "anycast", info->ifa_family, at[IFA_ANYCAST]);
	netlink_put_text(object, "scope",
			 netlink_name(netlink_scopes, netlink_n_scopes, info->ifa_scope, text));
	put_flags(object, at[IFA_FLAGS] ? netlink_u32(at[IFA_FLAGS]) : info->ifa_flags,
		  info->ifa_family);
	netlink_put_text(object, "label", netlink_text(at[IFA_LABEL]));
	put_lifetimes(object, at[IFA_CACHEINFO]);
	return true;
}

/* ---- neighbours ---- */

static const struct netlink_name state_names[] = {
	{NUD_INCOMPLETE, "INCOMPLETE"}, {NUD_REACHABLE, "REACHABLE"}, {NUD_STALE, "STALE"},
	{NUD_DELAY, "DELAY"},		{NUD_PROBE, "PROBE"},	      {NUD_FAILED, "FAILED"},
	{NUD_NOARP, "NOARP"},		{NUD_PERMANENT, "PERMANENT"},
};

static void put_states(json_t *object, unsigned state)
{
	json_t *list;

	if (!state)
		return;
	list = json_array();
	for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++)
		if (state & state_names[i].number)
			json_array_append_new(list, json_string(state_names[i].name));
	json_object_set_new(object, "state", list);
}

static void put_lladdr(json_t *object, const struct nlattr *attribute)
{
	const unsigned char *bytes = mnl_attr_get_payload(attribute);
	size_t len = mnl_attr_get_payload_len(attribute), n = 0;
	char text[3 * LLADDR_BYTES_MAX + 1] = "";

	for (size_t i = 0; i < len && i < LLADDR_BYTES_MAX; i++)
		n += (size_t)sprintf(text + n, "%s%02x", i ? ":" : "", bytes[i]);
	netlink_put_text(object, "lladdr", text);
}

static void put_neighbour_flags(json_t *object, const struct ndmsg *info, uint32_t extended)
{
	if (info->ndm_flags & NTF_ROUTER)
		json_object_set_new(object, "router", json_null());
	if (info->ndm_flags & NTF_PROXY)
		json_object_set_new(object, "proxy", json_null());
	if (info->ndm_flags & NTF_EXT_LEARNED)
		json_object_set_new(object, "extern_learn", json_null());
	if (info->ndm_flags & NTF_OFFLOADED)
		json_object_set_new(object, "offload", json_null());
	if (extended & NTF_EXT_MANAGED)
		json_object_set_new(object, "managed", json_null());
}

/* ip(8) shows no entry that was never resolved, nor those that need not be. */
static bool is_shown(const struct nlmsghdr *message, const struct ndmsg *info)
{
	return message->nlmsg_type == RTM_DELNEIGH || info->ndm_flags & NTF_PROXY ||
	       info->ndm_family == AF_BRIDGE || info->ndm_state & (0xff & ~NUD_NOARP);
}

bool netlink_put_neighbour(json_t *object, const struct nlmsghdr *message,
			   const struct netlink_place *place)
{
	const struct ndmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *at[NDA_MAX + 1];
	char name[IF_NAMESIZE];

	if (mnl_nlmsg_get_payload_len(message) < sizeof *info || !is_shown(message, info))
		return false;
	netlink_parse(message, sizeof *info, at, NDA_MAX);
	if (info->ndm_family == AF_BRIDGE)
		netlink_put_text(object, "family", family_name(info->ndm_family));
	netlink_put_address(object, "dst", info->ndm_family, at[NDA_DST]);
	if (info->ndm_ifindex > 0)
		netlink_put_text(object, "dev",
				 netlink_interface(place, (uint32_t)info->ndm_ifindex, name));
	if (at[NDA_LLADDR])
		put_lladdr(object, at[NDA_LLADDR]);
	put_neighbour_flags(object, info, netlink_u32(at[NDA_FLAGS_EXT]));
	put_states(object, info->ndm_state);
	return true;
}
