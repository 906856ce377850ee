/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Links, in the words of `ip -json link`. */
#include "netlink/netlink.h"

#include <arpa/inet.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

enum { ADDRESS_BYTES_MAX = 32 };

/* net/if.h knows some of them, linux/if.h all, and both cannot be had. */
static const struct netlink_name flag_names[] = {
	{0x8, "LOOPBACK"},    {0x2, "BROADCAST"},   {0x10, "POINTOPOINT"}, {0x1000, "MULTICAST"},
	{0x80, "NOARP"},      {0x200, "ALLMULTI"},  {0x100, "PROMISC"},	   {0x400, "MASTER"},
	{0x800, "SLAVE"},     {0x4, "DEBUG"},	    {0x8000, "DYNAMIC"},   {0x4000, "AUTOMEDIA"},
	{0x2000, "PORTSEL"},  {0x20, "NOTRAILERS"}, {0x1, "UP"},	   {0x10000, "LOWER_UP"},
	{0x20000, "DORMANT"}, {0x40000, "ECHO"},
};

static const struct netlink_name type_names[] = {
	{ARPHRD_NETROM, "netrom"},
	{ARPHRD_ETHER, "ether"},
	{ARPHRD_AX25, "ax25"},
	{ARPHRD_IEEE802, "ieee802"},
	{ARPHRD_ARCNET, "arcnet"},
	{ARPHRD_INFINIBAND, "infiniband"},
	{ARPHRD_IEEE1394, "ieee1394"},
	{ARPHRD_CAN, "can"},
	{ARPHRD_SLIP, "slip"},
	{ARPHRD_PPP, "ppp"},
	{ARPHRD_CISCO, "hdlc"},
	{ARPHRD_RAWIP, "rawip"},
	{ARPHRD_TUNNEL, "ipip"},
	{ARPHRD_TUNNEL6, "tunnel6"},
	{ARPHRD_LOOPBACK, "loopback"},
	{ARPHRD_FDDI, "fddi"},
	{ARPHRD_SIT, "sit"},
	{ARPHRD_IPGRE, "gre"},
	{ARPHRD_IP6GRE, "gre6"},
	{ARPHRD_IEEE80211, "ieee802.11"},
	{ARPHRD_IEEE80211_RADIOTAP, "ieee802.11/radiotap"},
	{ARPHRD_IEEE802154, "ieee802.15.4"},
	{ARPHRD_6LOWPAN, "6lowpan"},
	{ARPHRD_NETLINK, "netlink"},
	{ARPHRD_NONE, "none"},
	{ARPHRD_VOID, "void"},
	{824, "ip6gre"},
};

static const char *const states[] = {"UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN",
				     "TESTING", "DORMANT",    "UP"};
static const char *const modes[] = {"DEFAULT", "DORMANT"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void put_flags(json_t *object, unsigned flags, bool lower_is_down)
{
	json_t *list = json_array();
	char text[16];

	if (flags & IFF_UP && !(flags & IFF_RUNNING))
		json_array_append_new(list, json_string("NO-CARRIER"));
	flags &= ~(unsigned)IFF_RUNNING;
	for (size_t i = 0; i < COUNT(flag_names); i++) {
		if (flags & flag_names[i].number)
			json_array_append_new(list, json_string(flag_names[i].name));
		flags &= ~flag_names[i].number;
	}
	if (flags) {
		snprintf(text, sizeof text, "%x", flags);
		json_array_append_new(list, json_string(text));
	}
	if (lower_is_down)
		json_array_append_new(list, json_string("M-DOWN"));
	json_object_set_new(object, "flags", list);
}

/* The lower link; whether it is down. */
static bool put_lower(json_t *object, const struct nlattr *const *at,
		      const struct netlink_place *place)
{
	uint32_t lower = netlink_u32(at[IFLA_LINK]);
	char name[IF_NAMESIZE];

	if (!at[IFLA_LINK])
		return false;
	if (!lower) {
		json_object_set_new(object, "link", json_null());
		return false;
	}
	if (at[IFLA_LINK_NETNSID]) {
		netlink_put_number(object, "link_index", lower);
		return false;
	}
	netlink_put_text(object, "link", netlink_interface(place, lower, name));
	return place->nsid < 0 && !(netlink_interface_flags(place, lower) & IFF_UP);
}

/* A word by its number, or the number under another key, as ip(8) does it. */
static void put_word(json_t *object, const char *key, const struct nlattr *attribute,
		     const char *const *words, size_t n)
{
	char other[32];

	if (!attribute)
		return;
	if (netlink_u8(attribute) < n) {
		netlink_put_text(object, key, words[netlink_u8(attribute)]);
		return;
	}
	snprintf(other, sizeof other, "%s_index", key);
	netlink_put_number(object, other, netlink_u8(attribute));
}

static bool is_tunnel(unsigned type)
{
	return type == ARPHRD_TUNNEL || type == ARPHRD_SIT || type == ARPHRD_IPGRE;
}

/* A link-layer address: two digits a byte; of a tunnel, the IP address that it is. */
static const char *address_text(const struct nlattr *attribute, unsigned type,
				char text[3 * ADDRESS_BYTES_MAX + 64])
{
	const unsigned char *bytes = mnl_attr_get_payload(attribute);
	size_t len = mnl_attr_get_payload_len(attribute), n = 0;

	if (len == 4 && is_tunnel(type))
		return inet_ntop(AF_INET, bytes, text, 64);
	if (len == 16 && (type == ARPHRD_TUNNEL6 || type == ARPHRD_IP6GRE))
		return inet_ntop(AF_INET6, bytes, text, 64);
	text[0] = '\0';
	for (size_t i = 0; i < len && i < ADDRESS_BYTES_MAX; i++)
		n += (size_t)sprintf(text + n, "%s%02x", i ? ":" : "", bytes[i]);
	return text;
}

static void put_addresses(json_t *object, const struct nlattr *const *at,
			  const struct ifinfomsg *info)
{
	char text[3 * ADDRESS_BYTES_MAX + 64], number[24];
	const char *type = netlink_name(type_names, COUNT(type_names), info->ifi_type, text);

	if (type == text) {
		snprintf(number, sizeof number, "[%u]", info->ifi_type);
		type = number;
	}
	netlink_put_text(object, "link_type", type);
	if (at[IFLA_ADDRESS])
		netlink_put_text(object, "address",
				 address_text(at[IFLA_ADDRESS], info->ifi_type, text));
	if (at[IFLA_BROADCAST]) {
		if (info->ifi_flags & IFF_POINTOPOINT)
			json_object_set_new(object, "link_pointtopoint", json_true());
		netlink_put_text(object, "broadcast",
				 address_text(at[IFLA_BROADCAST], info->ifi_type, text));
	}
	if (at[IFLA_PERM_ADDRESS] && at[IFLA_ADDRESS] &&
	    (mnl_attr_get_payload_len(at[IFLA_PERM_ADDRESS]) !=
		     mnl_attr_get_payload_len(at[IFLA_ADDRESS]) ||
	     memcmp(mnl_attr_get_payload(at[IFLA_PERM_ADDRESS]),
		    mnl_attr_get_payload(at[IFLA_ADDRESS]),
		    mnl_attr_get_payload_len(at[IFLA_ADDRESS])) != 0))
		netlink_put_text(object, "permaddr",
				 address_text(at[IFLA_PERM_ADDRESS], info->ifi_type, text));
}

static void put_other_names(json_t *object, const struct nlattr *list)
{
	const struct nlattr *attribute;
	json_t *names = json_array();

	mnl_attr_for_each_nested(attribute, list)
	{
		const char *text = mnl_attr_get_type(attribute) == IFLA_ALT_IFNAME
					   ? netlink_text(attribute)
					   : NULL;
		json_t *name = text ? json_string(text) : NULL;

		if (name)
			json_array_append_new(names, name);
	}
	json_object_set_new(object, "altnames", names);
}

static void put_group(json_t *object, const struct nlattr *attribute)
{
	char text[16] = "default";

	if (!attribute)
		return;
	if (netlink_u32(attribute))
		snprintf(text, sizeof text, "%u", netlink_u32(attribute));
	netlink_put_text(object, "group", text);
}

bool netlink_put_link(json_t *object, const struct nlmsghdr *message,
		      const struct netlink_place *place)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *at[IFLA_MAX + 1];
	const char *name;
	char master[IF_NAMESIZE];
	bool lower_is_down;

	if (mnl_nlmsg_get_payload_len(message) < sizeof *info)
		return false;
	netlink_parse(message, sizeof *info, at, IFLA_MAX);
	name = netlink_text(at[IFLA_IFNAME]);
	if (!name || info->ifi_index <= 0)
		return false;
	netlink_learn_interface(place, (uint32_t)info->ifi_index, name);
	netlink_put_number(object, "ifindex", info->ifi_index);
	lower_is_down = put_lower(object, at, place);
	netlink_put_text(object, "ifname", name);
	put_flags(object, info->ifi_flags, lower_is_down);
	if (at[IFLA_MTU])
		netlink_put_number(object, "mtu", netlink_u32(at[IFLA_MTU]));
	netlink_put_text(object, "qdisc", netlink_text(at[IFLA_QDISC]));
	if (at[IFLA_MASTER])
		netlink_put_text(object, "master",
				 netlink_interface(place, netlink_u32(at[IFLA_MASTER]), master));
	put_word(object, "operstate", at[IFLA_OPERSTATE], states, COUNT(states));
	put_word(object, "linkmode", at[IFLA_LINKMODE], modes, COUNT(modes));
	put_group(object, at[IFLA_GROUP]);
	if (netlink_u32(at[IFLA_TXQLEN]))
		netlink_put_number(object, "txqlen", netlink_u32(at[IFLA_TXQLEN]));
	put_addresses(object, at, info);
	if (at[IFLA_LINK_NETNSID])
		netlink_put_number(object, "link_netnsid",
				   (int32_t)netlink_u32(at[IFLA_LINK_NETNSID]));
	if (netlink_u8(at[IFLA_PROTO_DOWN]))
		json_object_set_new(object, "proto_down", json_true());
	netlink_put_text(object, "ifalias", netlink_text(at[IFLA_IFALIAS]));
	if (at[IFLA_PROP_LIST])
		put_other_names(object, at[IFLA_PROP_LIST]);
	return true;
}
