/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections that netfilter tracks, as ctnetlink reports them: numbers in network order. */
#include "netlink/netlink.h"

#include <endian.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>

static uint16_t be16(const struct nlattr *attribute)
{
	return mnl_attr_get_payload_len(attribute) >= 2 ? ntohs(mnl_attr_get_u16(attribute)) : 0;
}

static void put_be16(json_t *object, const char *key, const struct nlattr *attribute)
{
	if (attribute)
		netlink_put_number(object, key, be16(attribute));
}

static void put_be32(json_t *object, const char *key, const struct nlattr *attribute)
{
	if (attribute && mnl_attr_get_payload_len(attribute) >= 4)
		netlink_put_number(object, key, ntohl(mnl_attr_get_u32(attribute)));
}

static void put_be64(json_t *object, const char *key, const struct nlattr *attribute)
{
	if (attribute && mnl_attr_get_payload_len(attribute) >= 8)
		netlink_put_number(object, key, (int64_t)be64toh(mnl_attr_get_u64(attribute)));
}

static void put_protocol(json_t *object, const struct nlattr *nest)
{
	static const struct netlink_name names[] = {
		{1, "icmp"}, {6, "tcp"},	{17, "udp"},   {33, "dccp"},
		{47, "gre"}, {58, "ipv6-icmp"}, {132, "sctp"}, {136, "udplite"}};
	const struct nlattr *at[CTA_PROTO_MAX + 1];
	char text[16];

	netlink_parse_nested(nest, at, CTA_PROTO_MAX);
	if (at[CTA_PROTO_NUM])
		netlink_put_text(object, "protocol",
				 netlink_name(names, sizeof names / sizeof *names,
					      netlink_u8(at[CTA_PROTO_NUM]), text));
	put_be16(object, "sport", at[CTA_PROTO_SRC_PORT]);
	put_be16(object, "dport", at[CTA_PROTO_DST_PORT]);
	put_be16(object, "icmp_id",
		 at[CTA_PROTO_ICMP_ID] ? at[CTA_PROTO_ICMP_ID] : at[CTA_PROTO_ICMPV6_ID]);
}

/* One direction: source and destination. */
static void put_tuple(json_t *object, const char *key, const struct nlattr *nest)
{
	const struct nlattr *at[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1];
	json_t *tuple;

	if (!nest)
		return;
	tuple = json_object();
	netlink_parse_nested(nest, at, CTA_TUPLE_MAX);
	if (at[CTA_TUPLE_IP]) {
		netlink_parse_nested(at[CTA_TUPLE_IP], ip, CTA_IP_MAX);
		netlink_put_address(tuple, "src", ip[CTA_IP_V4_SRC] ? AF_INET : AF_INET6,
				    ip[CTA_IP_V4_SRC] ? ip[CTA_IP_V4_SRC] : ip[CTA_IP_V6_SRC]);
		netlink_put_address(tuple, "dst", ip[CTA_IP_V4_DST] ? AF_INET : AF_INET6,
				    ip[CTA_IP_V4_DST] ? ip[CTA_IP_V4_DST] : ip[CTA_IP_V6_DST]);
	}
	if (at[CTA_TUPLE_PROTO])
		put_protocol(tuple, at[CTA_TUPLE_PROTO]);
	json_object_set_new(object, key, tuple);
}

static void put_counters(json_t *tuple, const struct nlattr *nest)
{
	const struct nlattr *at[CTA_COUNTERS_MAX + 1];

	if (!nest || !tuple)
		return;
	netlink_parse_nested(nest, at, CTA_COUNTERS_MAX);
	put_be64(tuple, "packets", at[CTA_COUNTERS_PACKETS]);
	put_be64(tuple, "bytes", at[CTA_COUNTERS_BYTES]);
}

static void put_status(json_t *object, const struct nlattr *attribute)
{
	static const struct netlink_name names[] = {
		{IPS_EXPECTED, "expected"}, {IPS_SEEN_REPLY, "seen-reply"},
		{IPS_ASSURED, "assured"},   {IPS_CONFIRMED, "confirmed"},
		{IPS_SRC_NAT, "src-nat"},   {IPS_DST_NAT, "dst-nat"},
		{IPS_DYING, "dying"},	    {IPS_OFFLOAD, "offload"},
	};
	uint32_t status;
	json_t *list;

	if (!attribute || mnl_attr_get_payload_len(attribute) < 4)
		return;
	status = ntohl(mnl_attr_get_u32(attribute));
	list = json_array();
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (status & names[i].number)
			json_array_append_new(list, json_string(names[i].name));
	json_object_set_new(object, "status", list);
}

static void put_tcp(json_t *object, const struct nlattr *nest)
{
	static const char *const states[] = {"NONE",	 "SYN_SENT",   "SYN_RECV", "ESTABLISHED",
					     "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT",
					     "CLOSE",	 "SYN_SENT2"};
	const struct nlattr *at[CTA_PROTOINFO_MAX + 1], *tcp[CTA_PROTOINFO_TCP_MAX + 1];
	unsigned state;

	if (!nest)
		return;
	netlink_parse_nested(nest, at, CTA_PROTOINFO_MAX);
	if (!at[CTA_PROTOINFO_TCP])
		return;
	netlink_parse_nested(at[CTA_PROTOINFO_TCP], tcp, CTA_PROTOINFO_TCP_MAX);
	state = netlink_u8(tcp[CTA_PROTOINFO_TCP_STATE]);
	if (tcp[CTA_PROTOINFO_TCP_STATE] && state < sizeof states / sizeof *states)
		netlink_put_text(object, "tcp_state", states[state]);
}

static const char *event_of(const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW:
		return message->nlmsg_flags & (NLM_F_CREATE | NLM_F_EXCL) ? "new" : "update";
	case NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE:
		return "del";
	}
	return NULL;
}

const char *netlink_put_conntrack(json_t *object, const struct nlmsghdr *message)
{
	const struct nfgenmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *at[CTA_MAX + 1];
	const char *event = event_of(message);

	if (!event || mnl_nlmsg_get_payload_len(message) < sizeof *header)
		return NULL;
	netlink_parse(message, sizeof *header, at, CTA_MAX);
	netlink_put_text(object, "family", header->nfgen_family == AF_INET ? "inet" : "inet6");
	put_tuple(object, "orig", at[CTA_TUPLE_ORIG]);
	put_tuple(object, "reply", at[CTA_TUPLE_REPLY]);
	put_counters(json_object_get(object, "orig"), at[CTA_COUNTERS_ORIG]);
	put_counters(json_object_get(object, "reply"), at[CTA_COUNTERS_REPLY]);
	put_be32(object, "id", at[CTA_ID]);
	put_status(object, at[CTA_STATUS]);
	put_be32(object, "timeout", at[CTA_TIMEOUT]);
	put_be32(object, "mark", at[CTA_MARK]);
	put_be16(object, "zone", at[CTA_ZONE]);
	put_tcp(object, at[CTA_PROTOINFO]);
	return event;
}
