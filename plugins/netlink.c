/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The family netlink, netlink(7), rtnetlink(7): what the kernel says of links, addresses, routes and neighbours. A socket joins the
 * groups it is asked to; what is sent to it is only ever dumps that its format asks for: nothing of an operator's or a client's reaches
 * the kernel. How messages become JSON is in netlink_json.c and the files that it calls.
 */
#include "netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BUFFER_BYTES = 4 << 20, GROUPS_MAX = 4 };

static const char *const overruns[] = {"resync", "mark", "ignore", NULL};

/* clang-format off */
static const struct spliced_option options_[NETLINK_OPTIONS] = {
	[NETLINK_OPTION_GROUPS] = {.name = "groups", .type = SPLICED_LIST,
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "Multicast groups: link, addr, route, neigh, rule, nexthop, or the kernel's names, such as ipv4-ifaddr"},
	[NETLINK_OPTION_DUMP] = {.name = "dump", .type = SPLICED_BOOL,
		.flags = SPLICED_LIVE, .default_text = "false",
		.doc = "With format json: begin with the present state, then snapshot-end, then what changes"},
	[NETLINK_OPTION_ON_OVERRUN] = {.name = "on_overrun", .type = SPLICED_WORD, .words = overruns,
		.flags = SPLICED_LIVE, .default_text = "resync",
		.doc = "With format json, when the kernel dropped messages: say lost and dump again, only say lost, or nothing"},
	[NETLINK_OPTION_PORTID] = {.name = "portid", .type = SPLICED_NUMBER, .max = UINT32_MAX,
		.flags = SPLICED_REOPEN, .roles = SPLICED_LISTEN, .default_text = "0",
		.doc = "Port number of the socket; 0: the kernel picks one"},
};
/* clang-format on */

static const struct spliced_row rows[] = {
	{
		.type = SOCK_RAW,
		.protocol = NETLINK_ROUTE,
		.name = "route",
		.pattern = "PROTOCOL",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES | SPLICED_ORDERED |
				SPLICED_RECEIVE_ONLY | SPLICED_FEED,
		.max_message = 1 << 20,
		.link_type = 253,
	},
};

static const struct spliced_format formats[] = {
	{
		.name = "json",
		.doc = "One object for each change, in the words of ip(8)",
		.framing = SPLICED_FRAMING_LINE,
		.state_size = NETLINK_JSON_STATE,
		.preamble = netlink_json_preamble,
		.encode = netlink_json_encode,
		.resync = netlink_json_resync,
	},
};

/* ---- groups ---- */

struct group {
	const char *name;
	uint8_t numbers[GROUPS_MAX]; /* RTNLGRP_*; 0: no more */
	uint8_t kinds;
};

#define KIND(kind) (1u << (kind))

static const struct group groups[] = {
	{"link", {RTNLGRP_LINK}, KIND(NETLINK_LINK)},
	{"addr", {RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR}, KIND(NETLINK_ADDRESS)},
	{"route", {RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE}, KIND(NETLINK_ROUTES)},
	{"neigh", {RTNLGRP_NEIGH}, KIND(NETLINK_NEIGHBOUR)},
	{"rule", {RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE}, 0},
	{"nexthop", {RTNLGRP_NEXTHOP}, 0},
	{"notify", {RTNLGRP_NOTIFY}, 0},
	{"tc", {RTNLGRP_TC}, 0},
	{"ipv4-ifaddr", {RTNLGRP_IPV4_IFADDR}, KIND(NETLINK_ADDRESS)},
	{"ipv4-mroute", {RTNLGRP_IPV4_MROUTE}, 0},
	{"ipv4-route", {RTNLGRP_IPV4_ROUTE}, KIND(NETLINK_ROUTES)},
	{"ipv4-rule", {RTNLGRP_IPV4_RULE}, 0},
	{"ipv6-ifaddr", {RTNLGRP_IPV6_IFADDR}, KIND(NETLINK_ADDRESS)},
	{"ipv6-mroute", {RTNLGRP_IPV6_MROUTE}, 0},
	{"ipv6-route", {RTNLGRP_IPV6_ROUTE}, KIND(NETLINK_ROUTES)},
	{"ipv6-ifinfo", {RTNLGRP_IPV6_IFINFO}, 0},
	{"ipv6-prefix", {RTNLGRP_IPV6_PREFIX}, 0},
	{"ipv6-rule", {RTNLGRP_IPV6_RULE}, 0},
	{"nd-useropt", {RTNLGRP_ND_USEROPT}, 0},
	{"ipv4-netconf", {RTNLGRP_IPV4_NETCONF}, 0},
	{"ipv6-netconf", {RTNLGRP_IPV6_NETCONF}, 0},
	{"mdb", {RTNLGRP_MDB}, 0},
	{"nsid", {RTNLGRP_NSID}, 0},
};

/* The kernel's way to write it, RTNLGRP_IPV4_IFADDR, is the same name. */
static bool is_name(const char *name, const char *text)
{
	if (!strncasecmp(text, "RTNLGRP_", strlen("RTNLGRP_")))
		text += strlen("RTNLGRP_");
	for (; *name && *text; name++, text++)
		if (strncasecmp(name, text, 1) && !(*name == '-' && *text == '_'))
			return false;
	return *name == *text;
}

static const struct group *find_group(const char *text)
{
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
		if (is_name(groups[i].name, text))
			return &groups[i];
	return NULL;
}

unsigned netlink_kinds(const struct spliced_options *options)
{
	const struct spliced_value *value = spliced_value(options, NETLINK_OPTION_GROUPS);
	unsigned kinds = 0;

	for (uint32_t i = 0; i < value->list_len; i++) {
		const struct group *group = find_group(value->list[i]);

		kinds |= group ? group->kinds : 0;
	}
	return kinds;
}

static int check_groups(const struct spliced_options *options)
{
	const struct spliced_value *value = spliced_value(options, NETLINK_OPTION_GROUPS);
	char known[512] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < value->list_len; i++) {
		if (find_group(value->list[i]))
			continue;
		for (size_t k = 0; k < sizeof groups / sizeof *groups && len < sizeof known; k++)
			len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", k ? ", " : "", groups[k].name);
		SPLICED_ERROR(options, NETLINK_OPTION_GROUPS, "\"%s\" is no group of protocol route; there are %s",
			      value->list[i], known);
		return -EINVAL;
	}
	if (value->list_len)
		return 0;
	SPLICED_ERROR(options, NETLINK_OPTION_GROUPS, "groups is empty, so that nothing would ever come; name one, such as link");
	return -EINVAL;
}

/* ---- callbacks ---- */

static int netlink_address_of(const struct spliced_options *options, struct sockaddr_storage *address, socklen_t *len)
{
	struct sockaddr_nl *nl = (struct sockaddr_nl *)address;

	if (check_groups(options) < 0)
		return -EINVAL;
	memset(address, 0, sizeof *address);
	nl->nl_family = AF_NETLINK;
	if (options->role == SPLICED_LISTEN)
		nl->nl_pid = (uint32_t)spliced_value(options, NETLINK_OPTION_PORTID)->number;
	*len = sizeof *nl;
	return 0;
}

static int netlink_describe(const struct spliced_row *row, const struct sockaddr *address, socklen_t len, char *text, size_t size)
{
	const struct sockaddr_nl *nl = (const struct sockaddr_nl *)address;
	int n;

	if (len < sizeof *nl || nl->nl_family != AF_NETLINK)
		return -EAFNOSUPPORT;
	n = nl->nl_pid ? snprintf(text, size, "%s?portid=%u", row->name, nl->nl_pid) : snprintf(text, size, "%s", row->name);
	return (size_t)n < size ? 0 : -ENOSPC;
}

static int join(int fd, const struct spliced_options *options, const struct group *group)
{
	for (int i = 0; i < GROUPS_MAX && group->numbers[i]; i++) {
		int number = group->numbers[i], r;

		if (!setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &number, sizeof number))
			continue;
		r = -errno;
		SPLICED_ERROR(options, NETLINK_OPTION_GROUPS, "cannot join group %s: %s", group->name, strerror(-r));
		return r;
	}
	return 0;
}

/* What a socket gets without asking. */
static int default_buffer(void)
{
	FILE *file = fopen("/proc/sys/net/core/rmem_default", "re");
	int bytes = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%d", &bytes) != 1)
		bytes = 0;
	fclose(file);
	return bytes;
}

/* Bursts of thousands of messages are common; a buffer that the operator chose stays as it is. */
static void grow_buffer(int fd)
{
	int bytes = 0, wanted = BUFFER_BYTES;
	socklen_t len = sizeof bytes;

	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len) < 0 || bytes != default_buffer())
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
}

static int join_all(int fd, const struct spliced_options *options)
{
	const struct spliced_value *value = spliced_value(options, NETLINK_OPTION_GROUPS);
	int r = 0;

	for (uint32_t i = 0; !r && i < value->list_len; i++) {
		const struct group *group = find_group(value->list[i]);

		r = group ? join(fd, options, group) : -EINVAL;
	}
	return r;
}

/* bind(2) sets the first 32 groups anew: a socket that is bound joins them after it. */
static int netlink_bound(int fd, const struct spliced_options *options)
{
	return join_all(fd, options);
}

static int netlink_prepare(int fd, const struct spliced_options *options)
{
	int one = 1;

	/* Both are wishes: dumps as ip(8) asks for them, and errors without what they are about. */
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one);
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
	grow_buffer(fd);
	return options->role == SPLICED_CONNECT ? join_all(fd, options) : 0;
}

const struct spliced_plugin spliced_plugin = {
	.abi_major = SPLICED_ABI_MAJOR,
	.abi_minor = SPLICED_ABI_MINOR,
	.abi_needs = 1,
	.size = sizeof(struct spliced_plugin),
	.row_stride = sizeof(struct spliced_row),
	.option_stride = sizeof(struct spliced_option),
	.name = "netlink",
	.domain = AF_NETLINK,
	.n_rows = sizeof rows / sizeof *rows,
	.n_options = NETLINK_OPTIONS,
	.rows = rows,
	.options = options_,
	.summary = "What the kernel says of links, addresses, routes and neighbours",
	.address = netlink_address_of,
	.describe = netlink_describe,
	.prepare = netlink_prepare,
	.bound = netlink_bound,
	.n_formats = sizeof formats / sizeof *formats,
	.format_stride = sizeof(struct spliced_format),
	.formats = formats,
};
