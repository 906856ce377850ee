/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Routes, in the words of `ip -json route show table all`, with their family and table. */
#include "netlink/netlink.h"

#include <linux/icmpv6.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { TICKS_PER_SECOND = 100 /* USER_HZ, of which the kernel's time spans to the user are */ };

static const struct netlink_name flag_names[] = {
	{RTNH_F_DEAD, "dead"},
	{RTNH_F_ONLINK, "onlink"},
	{RTNH_F_PERVASIVE, "pervasive"},
	{RTNH_F_OFFLOAD, "offload"},
	{RTNH_F_TRAP, "trap"},
	{RTM_F_NOTIFY, "notify"},
	{RTNH_F_LINKDOWN, "linkdown"},
	{RTNH_F_UNRESOLVED, "unresolved"},
	{RTM_F_OFFLOAD, "rt_offload"},
	{RTM_F_TRAP, "rt_trap"},
	{RTM_F_OFFLOAD_FAILED, "rt_offload_failed"},
};

static const struct netlink_name metric_names[] = {
	{RTAX_MTU, "mtu"},	     {RTAX_WINDOW, "window"},
	{RTAX_RTT, "rtt"},	     {RTAX_RTTVAR, "rttvar"},
	{RTAX_SSTHRESH, "ssthresh"}, {RTAX_CWND, "cwnd"},
	{RTAX_ADVMSS, "advmss"},     {RTAX_REORDERING, "reordering"},
	{RTAX_HOPLIMIT, "hoplimit"}, {RTAX_INITCWND, "initcwnd"},
	{RTAX_FEATURES, "features"}, {RTAX_RTO_MIN, "rto_min"},
	{RTAX_INITRWND, "initrwnd"}, {RTAX_QUICKACK, "quickack"},
	{RTAX_CC_ALGO, "congctl"},   {RTAX_FASTOPEN_NO_COOKIE, "fastopen_no_cookie"},
};

static const struct netlink_name preferences[] = {
	{ICMPV6_ROUTER_PREF_LOW, "low"},
	{ICMPV6_ROUTER_PREF_MEDIUM, "medium"},
	{ICMPV6_ROUTER_PREF_HIGH, "high"},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *family_name(unsigned family)
{
	return family == AF_INET ? "inet" : family == AF_INET6 ? "inet6" : "mpls";
}

/* "10.0.0.0/24"; "10.0.0.1" where all bits count; "default" where none does. */
static void put_prefix(json_t *object, const char *key, const struct rtmsg *route,
		       const struct nlattr *attribute, unsigned bits, const char *none)
{
	unsigned all = route->rtm_family == AF_INET6 ? 128 : 32;
	char address[64], text[80];

	if (attribute && netlink_address(route->rtm_family, mnl_attr_get_payload(attribute),
					 mnl_attr_get_payload_len(attribute), address)) {
		snprintf(text, sizeof text, bits == all ? "%s" : "%s/%u", address, bits);
		netlink_put_text(object, key, text);
	} else if (bits) {
		snprintf(text, sizeof text, "0/%u", bits);
		netlink_put_text(object, key, text);
	} else {
		netlink_put_text(object, key, none);
	}
}

/* A gateway of another family than the route's. */
static void put_via(json_t *object, const struct nlattr *attribute)
{
	const struct rtvia *via = mnl_attr_get_payload(attribute);
	size_t len = mnl_attr_get_payload_len(attribute);
	json_t *inner;
	char text[64];

	if (len < sizeof *via)
		return;
	inner = json_object();
	netlink_put_text(inner, "family", family_name(via->rtvia_family));
	netlink_put_text(
		inner, "host",
		netlink_address(via->rtvia_family, via->rtvia_addr, len - sizeof *via, text));
	json_object_set_new(object, "via", inner);
}

static void put_next(json_t *object, int family, const struct nlattr *const *at, uint32_t index,
		     const struct netlink_place *place)
{
	char name[IF_NAMESIZE];

	netlink_put_address(object, "gateway", family, at[RTA_GATEWAY]);
	if (at[RTA_VIA])
		put_via(object, at[RTA_VIA]);
	if (index)
		netlink_put_text(object, "dev", netlink_interface(place, index, name));
}

static void put_flags(json_t *object, unsigned flags)
{
	json_t *list = json_array();

	for (size_t i = 0; i < COUNT(flag_names); i++)
		if (flags & flag_names[i].number)
			json_array_append_new(list, json_string(flag_names[i].name));
	json_object_set_new(object, "flags", list);
}

static void put_metric(json_t *object, const struct netlink_name *metric,
		       const struct nlattr *attribute, bool locked)
{
	uint32_t value = netlink_u32(attribute);
	json_t *list;

	if (locked)
		netlink_put_text(object, "lock", metric->name);
	switch (metric->number) {
	case RTAX_FEATURES:
		list = json_array();
		if (value & RTAX_FEATURE_ECN)
			json_array_append_new(list, json_string("ecn"));
		json_object_set_new(object, metric->name, list);
		return;
	case RTAX_CC_ALGO:
		netlink_put_text(object, metric->name, netlink_text(attribute));
		return;
	case RTAX_RTT: /* in eighths of a millisecond */
		netlink_put_number(object, metric->name, value / 8);
		return;
	case RTAX_RTTVAR: /* in quarters */
		netlink_put_number(object, metric->name, value / 4);
		return;
	}
	netlink_put_number(object, metric->name, value);
}

static void put_metrics(json_t *object, const struct nlattr *nest)
{
	const struct nlattr *at[RTAX_MAX + 1];
	json_t *list = json_array(), *metrics = json_object();
	uint32_t locks;

	netlink_parse_nested(nest, at, RTAX_MAX);
	locks = netlink_u32(at[RTAX_LOCK]);
	for (size_t i = 0; i < COUNT(metric_names); i++)
		if (at[metric_names[i].number])
			put_metric(metrics, &metric_names[i], at[metric_names[i].number],
				   locks & 1u << metric_names[i].number);
	json_array_append_new(list, metrics);
	json_object_set_new(object, "metrics", list);
}

static void put_expiry(json_t *object, const struct rtmsg *route, const struct nlattr *attribute)
{
	struct rta_cacheinfo info;

	if (!attribute || route->rtm_family != AF_INET6 ||
	    mnl_attr_get_payload_len(attribute) < sizeof info)
		return;
	memcpy(&info, mnl_attr_get_payload(attribute), sizeof info);
	if (!info.rta_expires)
		return;
	netlink_put_number(object, "expires", (int32_t)info.rta_expires / TICKS_PER_SECOND);
	if (info.rta_error)
		netlink_put_number(object, "error", (int32_t)info.rta_error);
}

static void put_preference(json_t *object, const struct nlattr *attribute)
{
	char text[16];
	const char *name;

	if (!attribute)
		return;
	name = netlink_name(preferences, COUNT(preferences), netlink_u8(attribute), text);
	if (name == text)
		netlink_put_number(object, "pref", netlink_u8(attribute));
	else
		netlink_put_text(object, "pref", name);
}

static void put_nexthops(json_t *object, int family, const struct nlattr *nest,
			 const struct netlink_place *place)
{
	const char *bytes = mnl_attr_get_payload(nest);
	size_t left = mnl_attr_get_payload_len(nest);
	json_t *list = json_array();

	while (left >= sizeof(struct rtnexthop)) {
		const struct rtnexthop *hop = (const struct rtnexthop *)bytes;
		size_t len = hop->rtnh_len, step = MNL_ALIGN(len);
		const struct nlattr *at[RTA_MAX + 1];
		json_t *next;

		if (len < sizeof *hop || len > left)
			break;
		next = json_object();
		netlink_parse_bytes(bytes + sizeof *hop, len - sizeof *hop, at, RTA_MAX);
		put_next(next, family, at, (uint32_t)hop->rtnh_ifindex, place);
		netlink_put_number(next, "weight", hop->rtnh_hops + 1);
		put_flags(next, hop->rtnh_flags);
		json_array_append_new(list, next);
		bytes += step;
		left -= step < left ? step : left;
	}
	json_object_set_new(object, "nexthops", list);
}

static void put_origin(json_t *object, const struct rtmsg *route, const struct nlattr *const *at)
{
	uint32_t table = at[RTA_TABLE] ? netlink_u32(at[RTA_TABLE]) : route->rtm_table;
	char text[16];

	netlink_put_text(object, "table",
			 netlink_name(netlink_tables, netlink_n_tables, table, text));
	if (route->rtm_protocol != RTPROT_BOOT)
		netlink_put_text(object, "protocol",
				 netlink_name(netlink_protocols, netlink_n_protocols,
					      route->rtm_protocol, text));
	if (route->rtm_scope != RT_SCOPE_UNIVERSE)
		netlink_put_text(
			object, "scope",
			netlink_name(netlink_scopes, netlink_n_scopes, route->rtm_scope, text));
	netlink_put_address(object, "prefsrc", route->rtm_family, at[RTA_PREFSRC]);
	if (at[RTA_PRIORITY])
		netlink_put_number(object, "metric", netlink_u32(at[RTA_PRIORITY]));
}

bool netlink_put_route(json_t *object, const struct nlmsghdr *message,
		       const struct netlink_place *place)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	const struct nlattr *at[RTA_MAX + 1];
	char text[16];

	if (mnl_nlmsg_get_payload_len(message) < sizeof *route || route->rtm_flags & RTM_F_CLONED ||
	    (route->rtm_family != AF_INET && route->rtm_family != AF_INET6))
		return false;
	netlink_parse(message, sizeof *route, at, RTA_MAX);
	netlink_put_text(object, "family", family_name(route->rtm_family));
	if (route->rtm_type != RTN_UNICAST)
		netlink_put_text(
			object, "type",
			netlink_name(netlink_types, netlink_n_types, route->rtm_type, text));
	put_prefix(object, "dst", route, at[RTA_DST], route->rtm_dst_len, "default");
	put_prefix(object, "from", route, at[RTA_SRC], route->rtm_src_len, NULL);
	if (route->rtm_tos) {
		snprintf(text, sizeof text, "0x%02x", route->rtm_tos);
		netlink_put_text(object, "tos", text);
	}
	if (at[RTA_NH_ID])
		netlink_put_number(object, "nhid", netlink_u32(at[RTA_NH_ID]));
	put_next(object, route->rtm_family, at, netlink_u32(at[RTA_OIF]), place);
	put_origin(object, route, at);
	put_flags(object, route->rtm_flags);
	if (netlink_u32(at[RTA_MARK]))
		netlink_put_number(object, "mark", netlink_u32(at[RTA_MARK]));
	if (at[RTA_UID])
		netlink_put_number(object, "uid", netlink_u32(at[RTA_UID]));
	if (at[RTA_METRICS])
		put_metrics(object, at[RTA_METRICS]);
	put_expiry(object, route, at[RTA_CACHEINFO]);
	put_preference(object, at[RTA_PREF]);
	if (at[RTA_MULTIPATH])
		put_nexthops(object, route->rtm_family, at[RTA_MULTIPATH], place);
	return true;
}
