/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules of the routing policy, and next hops, as ip(8) writes them. */
#include "netlink/netlink.h"

#include <linux/fib_rules.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

static void put_hex(json_t *object, const char *key, uint32_t number)
{
	char text[16];

	snprintf(text, sizeof text, "0x%x", number);
	netlink_put_text(object, key, text);
}

static void put_mark(json_t *object, const char *key)
{
	json_object_set_new(object, key, json_null());
}

/* ---- rules ---- */

static void put_prefix(json_t *object, const char *key, const char *length_key, int family,
		       const struct nlattr *address, unsigned len)
{
	unsigned whole = family == AF_INET ? 32 : 128;

	if (address)
		netlink_put_address(object, key, family, address);
	else if (len)
		netlink_put_text(object, key, "0");
	if (len && (!address || len != whole))
		netlink_put_number(object, length_key, len);
}

static void put_interface(json_t *object, const char *key, const char *detached_key,
			  const struct nlattr *name, bool detached)
{
	if (!name)
		return;
	netlink_put_text(object, key, netlink_text(name));
	if (detached)
		put_mark(object, detached_key);
}

static void put_fwmark(json_t *object, const struct nlattr *mark, const struct nlattr *mask)
{
	if (!mark && !mask)
		return;
	put_hex(object, "fwmark", netlink_u32(mark));
	if (mask && netlink_u32(mask) != UINT32_MAX)
		put_hex(object, "fwmask", netlink_u32(mask));
}

static void put_ports(json_t *object, const char *key, const struct nlattr *attribute)
{
	struct fib_rule_port_range range;
	char name[32];

	if (!attribute || mnl_attr_get_payload_len(attribute) < sizeof range)
		return;
	memcpy(&range, mnl_attr_get_payload(attribute), sizeof range);
	if (range.start == range.end) {
		netlink_put_number(object, key, range.start);
		return;
	}
	snprintf(name, sizeof name, "%s_start", key);
	netlink_put_number(object, name, range.start);
	snprintf(name, sizeof name, "%s_end", key);
	netlink_put_number(object, name, range.end);
}

static void put_users(json_t *object, const struct nlattr *attribute)
{
	struct fib_rule_uid_range range;

	if (!attribute || mnl_attr_get_payload_len(attribute) < sizeof range)
		return;
	memcpy(&range, mnl_attr_get_payload(attribute), sizeof range);
	netlink_put_number(object, "uid_start", range.start);
	netlink_put_number(object, "uid_end", range.end);
}

static void put_ip_protocol(json_t *object, unsigned number)
{
	static const struct netlink_name names[] = {
		{1, "icmp"},	   {2, "igmp"},	 {4, "ipencap"}, {6, "tcp"},  {17, "udp"},
		{33, "dccp"},	   {41, "ipv6"}, {47, "gre"},	 {50, "esp"}, {51, "ah"},
		{58, "ipv6-icmp"}, {89, "ospf"}, {132, "sctp"}};
	char text[16];

	netlink_put_text(object, "ipproto",
			 netlink_name(names, sizeof names / sizeof *names, number, text));
}

/* What a packet is, to be meant. */
static void put_selector(json_t *object, const struct fib_rule_hdr *rule,
			 const struct nlattr *const *at)
{
	char text[16];

	if (rule->flags & FIB_RULE_INVERT)
		put_mark(object, "not");
	put_prefix(object, "src", "srclen", rule->family, at[FRA_SRC], rule->src_len);
	if (!at[FRA_SRC] && !rule->src_len)
		netlink_put_text(object, "src", "all");
	put_prefix(object, "dst", "dstlen", rule->family, at[FRA_DST], rule->dst_len);
	if (rule->tos) {
		snprintf(text, sizeof text, "0x%02x", rule->tos);
		netlink_put_text(object, "tos", text);
	}
	put_fwmark(object, at[FRA_FWMARK], at[FRA_FWMASK]);
	put_interface(object, "iif", "iif_detached", at[FRA_IIFNAME],
		      rule->flags & FIB_RULE_IIF_DETACHED);
	put_interface(object, "oif", "oif_detached", at[FRA_OIFNAME],
		      rule->flags & FIB_RULE_OIF_DETACHED);
	if (netlink_u8(at[FRA_L3MDEV]))
		put_mark(object, "l3mdev");
	put_users(object, at[FRA_UID_RANGE]);
	if (at[FRA_IP_PROTO])
		put_ip_protocol(object, netlink_u8(at[FRA_IP_PROTO]));
	put_ports(object, "sport", at[FRA_SPORT_RANGE]);
	put_ports(object, "dport", at[FRA_DPORT_RANGE]);
}

static void put_table(json_t *object, const struct fib_rule_hdr *rule,
		      const struct nlattr *const *at)
{
	uint32_t table = at[FRA_TABLE] ? netlink_u32(at[FRA_TABLE]) : rule->table;
	char text[16];

	if (!table)
		return;
	netlink_put_text(object, "table",
			 netlink_name(netlink_tables, netlink_n_tables, table, text));
	if (at[FRA_SUPPRESS_PREFIXLEN] && (int)netlink_u32(at[FRA_SUPPRESS_PREFIXLEN]) != -1)
		netlink_put_number(object, "suppress_prefixlen",
				   (int)netlink_u32(at[FRA_SUPPRESS_PREFIXLEN]));
	if (at[FRA_SUPPRESS_IFGROUP] && (int)netlink_u32(at[FRA_SUPPRESS_IFGROUP]) != -1)
		netlink_put_text(
			object, "suppress_ifgroup",
			netlink_name(NULL, 0, netlink_u32(at[FRA_SUPPRESS_IFGROUP]), text));
}

static void put_action(json_t *object, const struct fib_rule_hdr *rule, const struct nlattr *target)
{
	char text[16];

	switch (rule->action) {
	case FR_ACT_TO_TBL:
		return;
	case FR_ACT_GOTO:
		if (target)
			netlink_put_number(object, "goto", netlink_u32(target));
		else
			netlink_put_text(object, "goto", "none");
		if (rule->flags & FIB_RULE_UNRESOLVED)
			put_mark(object, "unresolved");
		return;
	case FR_ACT_NOP:
		put_mark(object, "nop");
		return;
	}
	netlink_put_text(object, "action",
			 netlink_name(netlink_types, netlink_n_types, rule->action, text));
}

bool netlink_put_rule(json_t *object, const struct nlmsghdr *message,
		      const struct netlink_place *place)
{
	const struct fib_rule_hdr *rule = mnl_nlmsg_get_payload(message);
	const struct nlattr *at[FRA_MAX + 1];
	unsigned protocol;
	char text[16];

	(void)place;
	if (mnl_nlmsg_get_payload_len(message) < sizeof *rule ||
	    (rule->family != AF_INET && rule->family != AF_INET6))
		return false;
	netlink_parse(message, sizeof *rule, at, FRA_MAX);
	netlink_put_text(object, "family", rule->family == AF_INET ? "inet" : "inet6");
	netlink_put_number(object, "priority", netlink_u32(at[FRA_PRIORITY]));
	put_selector(object, rule, at);
	put_table(object, rule, at);
	put_action(object, rule, at[FRA_GOTO]);
	protocol = netlink_u8(at[FRA_PROTOCOL]);
	if (protocol && protocol != RTPROT_KERNEL)
		netlink_put_text(
			object, "protocol",
			netlink_name(netlink_protocols, netlink_n_protocols, protocol, text));
	return true;
}

/* ---- next hops ---- */

static void put_group(json_t *object, const struct nlattr *attribute)
{
	const struct nexthop_grp *groups = mnl_attr_get_payload(attribute);
	json_t *list = json_array();

	for (size_t i = 0; i < mnl_attr_get_payload_len(attribute) / sizeof *groups; i++) {
		json_t *one = json_object();

		netlink_put_number(one, "id", groups[i].id);
		if (groups[i].weight)
			netlink_put_number(one, "weight", groups[i].weight + 1);
		json_array_append_new(list, one);
	}
	json_object_set_new(object, "group", list);
}

static void put_flags(json_t *object, unsigned flags)
{
	static const struct netlink_name names[] = {
		{RTNH_F_DEAD, "dead"},		 {RTNH_F_ONLINK, "onlink"},
		{RTNH_F_PERVASIVE, "pervasive"}, {RTNH_F_OFFLOAD, "offload"},
		{RTNH_F_TRAP, "trap"},		 {RTNH_F_LINKDOWN, "linkdown"}};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (flags & names[i].number)
			json_array_append_new(list, json_string(names[i].name));
	json_object_set_new(object, "flags", list);
}

bool netlink_put_nexthop(json_t *object, const struct nlmsghdr *message,
			 const struct netlink_place *place)
{
	const struct nhmsg *hop = mnl_nlmsg_get_payload(message);
	const struct nlattr *at[NHA_MAX + 1];
	char name[IF_NAMESIZE], text[16];

	if (mnl_nlmsg_get_payload_len(message) < sizeof *hop)
		return false;
	netlink_parse(message, sizeof *hop, at, NHA_MAX);
	netlink_put_number(object, "id", netlink_u32(at[NHA_ID]));
	if (at[NHA_GROUP])
		put_group(object, at[NHA_GROUP]);
	netlink_put_address(object, "gateway", hop->nh_family, at[NHA_GATEWAY]);
	if (at[NHA_OIF])
		netlink_put_text(object, "dev",
				 netlink_interface(place, netlink_u32(at[NHA_OIF]), name));
	if (hop->nh_scope != RT_SCOPE_UNIVERSE)
		netlink_put_text(
			object, "scope",
			netlink_name(netlink_scopes, netlink_n_scopes, hop->nh_scope, text));
	if (at[NHA_BLACKHOLE])
		put_mark(object, "blackhole");
	if (hop->nh_protocol != RTPROT_UNSPEC)
		netlink_put_text(object, "protocol",
				 netlink_name(netlink_protocols, netlink_n_protocols,
					      hop->nh_protocol, text));
	put_flags(object, hop->nh_flags);
	if (at[NHA_FDB])
		put_mark(object, "fdb");
	return true;
}
