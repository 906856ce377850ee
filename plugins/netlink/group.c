/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Multicast groups. Each protocol has its own, known to ip(8) or to the kernel by name, and
 * everywhere by number. Those of generic netlink are numbered when a family is loaded: its
 * controller is asked, genetlink(7), by a socket of its own.
 */
#include "netlink/netlink.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/genetlink.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { NUMBERS_MAX = 4, NUMBER_LIMIT = 4096 };

struct group {
	int protocol;
	const char *name;
	uint8_t numbers[NUMBERS_MAX]; /* 0: no more */
	uint8_t kinds;
};

#define KIND(kind) (1u << (kind))

static const struct group groups[] = {
	{NETLINK_ROUTE, "link", {RTNLGRP_LINK}, KIND(NETLINK_LINK)},
	{NETLINK_ROUTE, "addr", {RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR}, KIND(NETLINK_ADDRESS)},
	{NETLINK_ROUTE, "route", {RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE}, KIND(NETLINK_ROUTES)},
	{NETLINK_ROUTE, "neigh", {RTNLGRP_NEIGH}, KIND(NETLINK_NEIGHBOUR)},
	{NETLINK_ROUTE, "rule", {RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE}, KIND(NETLINK_RULE)},
	{NETLINK_ROUTE, "nexthop", {RTNLGRP_NEXTHOP}, KIND(NETLINK_NEXTHOP)},
	{NETLINK_ROUTE, "notify", {RTNLGRP_NOTIFY}, 0},
	{NETLINK_ROUTE, "tc", {RTNLGRP_TC}, 0},
	{NETLINK_ROUTE, "ipv4-ifaddr", {RTNLGRP_IPV4_IFADDR}, KIND(NETLINK_ADDRESS)},
	{NETLINK_ROUTE, "ipv4-mroute", {RTNLGRP_IPV4_MROUTE}, 0},
	{NETLINK_ROUTE, "ipv4-route", {RTNLGRP_IPV4_ROUTE}, KIND(NETLINK_ROUTES)},
	{NETLINK_ROUTE, "ipv4-rule", {RTNLGRP_IPV4_RULE}, KIND(NETLINK_RULE)},
	{NETLINK_ROUTE, "ipv6-ifaddr", {RTNLGRP_IPV6_IFADDR}, KIND(NETLINK_ADDRESS)},
	{NETLINK_ROUTE, "ipv6-mroute", {RTNLGRP_IPV6_MROUTE}, 0},
	{NETLINK_ROUTE, "ipv6-route", {RTNLGRP_IPV6_ROUTE}, KIND(NETLINK_ROUTES)},
	{NETLINK_ROUTE, "ipv6-ifinfo", {RTNLGRP_IPV6_IFINFO}, 0},
	{NETLINK_ROUTE, "ipv6-prefix", {RTNLGRP_IPV6_PREFIX}, 0},
	{NETLINK_ROUTE, "ipv6-rule", {RTNLGRP_IPV6_RULE}, KIND(NETLINK_RULE)},
	{NETLINK_ROUTE, "nd-useropt", {RTNLGRP_ND_USEROPT}, 0},
	{NETLINK_ROUTE, "ipv4-netconf", {RTNLGRP_IPV4_NETCONF}, 0},
	{NETLINK_ROUTE, "ipv6-netconf", {RTNLGRP_IPV6_NETCONF}, 0},
	{NETLINK_ROUTE, "mdb", {RTNLGRP_MDB}, 0},
	{NETLINK_ROUTE, "nsid", {RTNLGRP_NSID}, 0},
	{NETLINK_KOBJECT_UEVENT, "kernel", {1}, 0},
	{NETLINK_NETFILTER, "conntrack-new", {NFNLGRP_CONNTRACK_NEW}, 0},
	{NETLINK_NETFILTER, "conntrack-update", {NFNLGRP_CONNTRACK_UPDATE}, 0},
	{NETLINK_NETFILTER, "conntrack-destroy", {NFNLGRP_CONNTRACK_DESTROY}, 0},
	{NETLINK_NETFILTER, "conntrack-exp-new", {NFNLGRP_CONNTRACK_EXP_NEW}, 0},
	{NETLINK_NETFILTER, "conntrack-exp-update", {NFNLGRP_CONNTRACK_EXP_UPDATE}, 0},
	{NETLINK_NETFILTER, "conntrack-exp-destroy", {NFNLGRP_CONNTRACK_EXP_DESTROY}, 0},
	{NETLINK_NETFILTER, "nftables", {NFNLGRP_NFTABLES}, 0},
	{NETLINK_NETFILTER, "acct-quota", {NFNLGRP_ACCT_QUOTA}, 0},
	{NETLINK_NETFILTER, "nftrace", {NFNLGRP_NFTRACE}, 0},
	{NETLINK_AUDIT, "readlog", {AUDIT_NLGRP_READLOG}, 0},
	{NETLINK_CONNECTOR, "proc", {CN_IDX_PROC}, 0},
	{NETLINK_SOCK_DIAG, "inet-tcp-destroy", {SKNLGRP_INET_TCP_DESTROY}, 0},
	{NETLINK_SOCK_DIAG, "inet-udp-destroy", {SKNLGRP_INET_UDP_DESTROY}, 0},
	{NETLINK_SOCK_DIAG, "inet6-tcp-destroy", {SKNLGRP_INET6_TCP_DESTROY}, 0},
	{NETLINK_SOCK_DIAG, "inet6-udp-destroy", {SKNLGRP_INET6_UDP_DESTROY}, 0},
	{NETLINK_XFRM, "acquire", {XFRMNLGRP_ACQUIRE}, 0},
	{NETLINK_XFRM, "expire", {XFRMNLGRP_EXPIRE}, 0},
	{NETLINK_XFRM, "sa", {XFRMNLGRP_SA}, 0},
	{NETLINK_XFRM, "policy", {XFRMNLGRP_POLICY}, 0},
	{NETLINK_XFRM, "aevents", {XFRMNLGRP_AEVENTS}, 0},
	{NETLINK_XFRM, "report", {XFRMNLGRP_REPORT}, 0},
	{NETLINK_XFRM, "migrate", {XFRMNLGRP_MIGRATE}, 0},
	{NETLINK_XFRM, "mapping", {XFRMNLGRP_MAPPING}, 0},
};

enum { N_GROUPS = sizeof groups / sizeof *groups };

/* ---- names ---- */

/* The kernel's way to write it, RTNLGRP_IPV4_IFADDR, is the same name. */
static bool is_name(const char *name, const char *text)
{
	static const char *const prefixes[] = {"RTNLGRP_", "NFNLGRP_",	 "AUDIT_NLGRP_",
					       "SKNLGRP_", "XFRMNLGRP_", "CN_IDX_"};

	for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
		if (!strncasecmp(text, prefixes[i], strlen(prefixes[i])))
			text += strlen(prefixes[i]);
	for (; *name && *text; name++, text++)
		if (strncasecmp(name, text, 1) && !(*name == '-' && *text == '_'))
			return false;
	return *name == *text;
}

static const struct group *find_group(int protocol, const char *text)
{
	for (size_t i = 0; i < N_GROUPS; i++)
		if (groups[i].protocol == protocol && is_name(groups[i].name, text))
			return &groups[i];
	return NULL;
}

/* A group's number as text, 0: it is none. */
static int number_of(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && number > 0 && number < NUMBER_LIMIT
		       ? (int)number
		       : 0;
}

unsigned netlink_kinds(const struct spliced_options *options)
{
	const struct spliced_value *value = spliced_value(options, NETLINK_OPTION_GROUPS);
	unsigned kinds = 0;

	for (uint32_t i = 0; i < value->list_len; i++) {
		const struct group *group = find_group(options->row->protocol, value->list[i]);

		kinds |= group ? group->kinds : 0;
	}
	return kinds;
}

static int refuse_group(const struct spliced_options *options, const char *text)
{
	char known[512] = "";
	size_t len = 0;

	for (size_t i = 0; i < N_GROUPS && len < sizeof known; i++)
		if (groups[i].protocol == options->row->protocol)
			len += (size_t)snprintf(known + len, sizeof known - len, "%s%s",
						len ? ", " : "", groups[i].name);
	SPLICED_ERROR(options, NETLINK_OPTION_GROUPS,
		      "\"%s\" is not a group of protocol %s; %s%s%s", text, options->row->name,
		      len ? "the groups are " : "write its number", known,
		      options->row->protocol == NETLINK_NETFILTER
			      ? ", and nflog/N for the messages logged to group N"
			      : "");
	return -EINVAL;
}

/* "nflog/5": what nftables logs to group 5, a number of netfilter's own and no multicast group. -1:
 * it is none. */
static int nflog_of(int protocol, const char *text)
{
	static const char prefix[] = "nflog/";
	char *end;
	long number;

	if (protocol != NETLINK_NETFILTER || strncmp(text, prefix, strlen(prefix)) != 0)
		return -1;
	text += strlen(prefix);
	number = strtol(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && number <= UINT16_MAX ? (int)number : -1;
}

int netlink_check_groups(const struct spliced_options *options)
{
	const struct spliced_value *value = spliced_value(options, NETLINK_OPTION_GROUPS);
	int protocol = options->row->protocol;

	for (uint32_t i = 0; i < value->list_len; i++)
		if (!number_of(value->list[i]) && protocol != NETLINK_GENERIC &&
		    nflog_of(protocol, value->list[i]) < 0 && !find_group(protocol, value->list[i]))
			return refuse_group(options, value->list[i]);
	if (value->list_len || protocol == NETLINK_USERSOCK ||
	    spliced_value(options, NETLINK_OPTION_WRITE)->list_len)
		return 0;
	SPLICED_ERROR(options, NETLINK_OPTION_GROUPS,
		      "no groups, so that no message would ever arrive; set one, such as %s",
		      protocol == NETLINK_ROUTE ? "link" : "1");
	return -EINVAL;
}

/* ---- joining ---- */

static int join(int fd, const struct spliced_options *options, const char *name, int number)
{
	int r;

	if (!setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &number, sizeof number))
		return 0;
	r = -errno;
	SPLICED_ERROR(options, NETLINK_OPTION_GROUPS, "cannot join group %s: %s", name,
		      strerror(-r));
	return r;
}

static bool is_member(int fd, unsigned group)
{
	uint32_t bits[NUMBER_LIMIT / 32] = {0};
	socklen_t len = sizeof bits;

	return !getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, bits, &len) &&
	       bits[(group - 1) / 32] & 1u << (group - 1) % 32;
}

/* The kernel reports process events once a socket has subscribed. It counts subscribers until they
 * unsubscribe: until then each fork of the machine costs a few microseconds more. */
static int tell_connector(int fd, uint32_t word)
{
	_Alignas(struct nlmsghdr) char
		buffer[NLMSG_HDRLEN + sizeof(struct cn_msg) + sizeof(uint32_t)] = {0};
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct cn_msg *message =
		mnl_nlmsg_put_extra_header(request, sizeof *message + sizeof(uint32_t));

	request->nlmsg_type = NLMSG_DONE;
	message->id = (struct cb_id){CN_IDX_PROC, CN_VAL_PROC};
	message->len = sizeof word;
	memcpy(message->data, &word, sizeof word);
	return send(fd, request, request->nlmsg_len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int ask_for_processes(int fd, const struct spliced_options *options)
{
	int r = tell_connector(fd, PROC_CN_MCAST_LISTEN);

	if (r < 0)
		SPLICED_ERROR(options, NETLINK_OPTION_GROUPS,
			      "cannot subscribe to process events: %s", strerror(-r));
	return r;
}

/* A socket that is no member any more has taken it back already. */
void netlink_release(int fd, const struct spliced_options *options)
{
	int group = CN_IDX_PROC;

	if (options->row->protocol != NETLINK_CONNECTOR || !is_member(fd, CN_IDX_PROC))
		return;
	setsockopt(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &group, sizeof group);
	tell_connector(fd, PROC_CN_MCAST_IGNORE);
}

static int join_known(int fd, const struct spliced_options *options, const struct group *group)
{
	bool asks = group->protocol == NETLINK_CONNECTOR && !is_member(fd, group->numbers[0]);
	int r = 0;

	for (int i = 0; !r && i < NUMBERS_MAX && group->numbers[i]; i++)
		r = join(fd, options, group->name, group->numbers[i]);
	return r || !asks ? r : ask_for_processes(fd, options);
}

/* ---- logged packets ---- */

static struct nlmsghdr *begin_log_request(char *buffer, int group)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *header;

	request->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	request->nlmsg_seq = NETLINK_LOG_REQUEST;
	header = mnl_nlmsg_put_extra_header(request, sizeof *header);
	*header = (struct nfgenmsg){.nfgen_family = AF_UNSPEC,
				    .version = NFNETLINK_V0,
				    .res_id = htons((uint16_t)group)};
	return request;
}

/* The kernel answers while it is asked; of an open socket the answer comes behind what was there
 * before, and is passed over there. */
static int send_log_request(int fd, const struct nlmsghdr *request)
{
	_Alignas(struct nlmsghdr) char answer[256];
	const struct nlmsghdr *header = (const struct nlmsghdr *)answer;
	const struct nlmsgerr *error = (const struct nlmsgerr *)(answer + NLMSG_HDRLEN);
	ssize_t n;

	if (send(fd, request, request->nlmsg_len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	n = recv(fd, answer, sizeof answer, MSG_PEEK | MSG_DONTWAIT);
	if (n < (ssize_t)(NLMSG_HDRLEN + sizeof *error) || header->nlmsg_type != NLMSG_ERROR ||
	    header->nlmsg_seq != NETLINK_LOG_REQUEST)
		return 0;
	recv(fd, answer, sizeof answer, MSG_DONTWAIT);
	return error->error;
}

static int join_log(int fd, const struct spliced_options *options, int group)
{
	const struct nfulnl_msg_config_cmd bind = {.command = NFULNL_CFG_CMD_BIND};
	const struct nfulnl_msg_config_mode mode = {.copy_mode = NFULNL_COPY_PACKET,
						    .copy_range = htonl(UINT16_MAX)};
	_Alignas(struct nlmsghdr) char buffer[128];
	struct nlmsghdr *request = begin_log_request(buffer, group);
	int r;

	mnl_attr_put(request, NFULA_CFG_CMD, sizeof bind, &bind);
	r = send_log_request(fd, request);
	/* EBUSY means that this socket itself has the group. */
	if (!r || r == -EBUSY) {
		request = begin_log_request(buffer, group);
		mnl_attr_put(request, NFULA_CFG_MODE, sizeof mode, &mode);
		r = send_log_request(fd, request);
	}
	if (r < 0)
		SPLICED_ERROR(
			options, NETLINK_OPTION_GROUPS,
			"cannot receive the messages logged to group %d: %s%s", group, strerror(-r),
			r == -EPERM
				? "; another socket may have the group already, which is exclusive"
				: "");
	return r;
}

/* ---- generic netlink ---- */

int netlink_ask_controller(const char *family, size_t name_len, void *answer, size_t size)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *header;
	char name[GENL_NAMSIZ];
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	request->nlmsg_type = GENL_ID_CTRL;
	request->nlmsg_flags = NLM_F_REQUEST;
	header = mnl_nlmsg_put_extra_header(request, sizeof *header);
	*header = (struct genlmsghdr){.cmd = CTRL_CMD_GETFAMILY, .version = 1};
	snprintf(name, sizeof name, "%.*s", (int)name_len, family);
	mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, name);
	n = send(fd, request, request->nlmsg_len, MSG_NOSIGNAL);
	/* The controller answers while it is asked. */
	if (n >= 0)
		n = recv(fd, answer, size, MSG_DONTWAIT);
	n = n < 0 ? -errno : n;
	close(fd);
	return (int)n;
}

/* Joins a family's group of that name, or all where it is NULL. The number of them; negative
 * errno. */
static int join_generic_groups(int fd, const struct spliced_options *options,
			       const struct nlattr *list, const char *wanted)
{
	const struct nlattr *entry;
	int count = 0;

	mnl_attr_for_each_nested(entry, list)
	{
		const struct nlattr *at[CTRL_ATTR_MCAST_GRP_MAX + 1];
		const char *name;
		int r;

		netlink_parse_nested(entry, at, CTRL_ATTR_MCAST_GRP_MAX);
		name = netlink_text(at[CTRL_ATTR_MCAST_GRP_NAME]);
		if (!name || (wanted && strcmp(name, wanted) != 0))
			continue;
		r = join(fd, options, name, (int)netlink_u32(at[CTRL_ATTR_MCAST_GRP_ID]));
		if (r < 0)
			return r;
		count++;
	}
	return count;
}

/* FAMILY or FAMILY/GROUP. */
static int join_generic(int fd, const struct spliced_options *options, const char *text)
{
	const char *slash = strchr(text, '/');
	_Alignas(struct nlmsghdr) char answer[8192] = {0};
	const struct nlmsghdr *message = (const struct nlmsghdr *)answer;
	const struct nlattr *at[CTRL_ATTR_MAX + 1];
	char family[GENL_NAMSIZ];
	int n;

	snprintf(family, sizeof family, "%.*s", (int)(slash ? slash - text : (long)strlen(text)),
		 text);
	n = netlink_ask_controller(family, strlen(family), answer, sizeof answer);
	if (n < 0 || !mnl_nlmsg_ok(message, n) || message->nlmsg_type != GENL_ID_CTRL) {
		SPLICED_ERROR(
			options, NETLINK_OPTION_GROUPS,
			"the kernel has no generic netlink family \"%s\"; load its module, or correct the name",
			family);
		return -ENOENT;
	}
	netlink_parse(message, sizeof(struct genlmsghdr), at, CTRL_ATTR_MAX);
	n = at[CTRL_ATTR_MCAST_GROUPS]
		    ? join_generic_groups(fd, options, at[CTRL_ATTR_MCAST_GROUPS],
					  slash ? slash + 1 : NULL)
		    : 0;
	if (n != 0)
		return n < 0 ? n : 0;
	SPLICED_ERROR(options, NETLINK_OPTION_GROUPS,
		      "generic netlink family \"%s\" has no group%s%s; `genl ctrl list` lists them",
		      family, slash ? " " : "", slash ? slash + 1 : "");
	return -ENOENT;
}

int netlink_join(int fd, const struct spliced_options *options)
{
	const struct spliced_value *value = spliced_value(options, NETLINK_OPTION_GROUPS);
	int r = 0;

	for (uint32_t i = 0; !r && i < value->list_len; i++) {
		const struct group *group = find_group(options->row->protocol, value->list[i]);
		int log = nflog_of(options->row->protocol, value->list[i]);

		if (group)
			r = join_known(fd, options, group);
		else if (log >= 0)
			r = join_log(fd, options, log);
		else if (number_of(value->list[i]))
			r = join(fd, options, value->list[i], number_of(value->list[i]));
		else
			r = join_generic(fd, options, value->list[i]);
	}
	return r;
}
