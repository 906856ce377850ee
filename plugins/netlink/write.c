/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What may be written to the kernel: messages of the types that the option `write` lists, and no
 * other. A send(2) may hold several; each of them is looked at, and nothing may be left over.
 */
#include "netlink/netlink.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct type {
	const char *name;
	int protocol;
	uint16_t number;
};

#define OBJECT(word, base)                                                            \
	{"new" word, NETLINK_ROUTE, (base)}, {"del" word, NETLINK_ROUTE, (base) + 1}, \
	{                                                                             \
		"get" word, NETLINK_ROUTE, (base) + 2                                 \
	}

static const struct type types[] = {
	OBJECT("link", RTM_NEWLINK),
	{"setlink", NETLINK_ROUTE, RTM_SETLINK},
	OBJECT("addr", RTM_NEWADDR),
	OBJECT("route", RTM_NEWROUTE),
	OBJECT("neigh", RTM_NEWNEIGH),
	OBJECT("rule", RTM_NEWRULE),
	OBJECT("qdisc", RTM_NEWQDISC),
	OBJECT("nexthop", RTM_NEWNEXTHOP),
	OBJECT("nsid", RTM_NEWNSID),
	{"getstats", NETLINK_ROUTE, RTM_GETSTATS},
	{"getneightbl", NETLINK_ROUTE, RTM_GETNEIGHTBL},
	{"by-family", NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY},
	{"destroy", NETLINK_SOCK_DIAG, SOCK_DESTROY},
};

enum { N_TYPES = sizeof types / sizeof *types, FIRST_CONTROL = 16 };

static const struct spliced_value *list_of(const struct spliced_options *options)
{
	return spliced_value(options, NETLINK_OPTION_WRITE);
}

/* The kernel's way to write it, RTM_GETLINK, is the same name. */
static const struct type *find_type(int protocol, const char *text)
{
	if (!strncasecmp(text, "RTM_", 4))
		text += 4;
	for (size_t i = 0; i < N_TYPES; i++)
		if (types[i].protocol == protocol && !strcasecmp(types[i].name, text))
			return &types[i];
	return NULL;
}

/* A type's number as text; -1: it is none. */
static int number_of(const char *text)
{
	char *end;
	long number = strtol(text, &end, 0);

	return *text >= '0' && *text <= '9' && !*end && number >= FIRST_CONTROL &&
			       number <= UINT16_MAX
		       ? (int)number
		       : -1;
}

static int refuse_message_type(const struct spliced_options *options, const char *text)
{
	int protocol = options->row->protocol;

	if (protocol == NETLINK_ROUTE || protocol == NETLINK_SOCK_DIAG)
		SPLICED_ERROR(
			options, NETLINK_OPTION_WRITE,
			"\"%s\" is not a message type of protocol %s; write a name such as %s, or a number",
			text, options->row->name,
			protocol == NETLINK_ROUTE ? "getlink, newaddr, delroute" : "by-family");
	else
		SPLICED_ERROR(options, NETLINK_OPTION_WRITE,
			      "\"%s\" is not a message type; write its number, %d to 65535", text,
			      FIRST_CONTROL);
	return -EINVAL;
}

int netlink_check_write(const struct spliced_options *options)
{
	const struct spliced_value *value = list_of(options);
	int protocol = options->row->protocol;

	for (uint32_t i = 0; i < value->list_len; i++)
		if (number_of(value->list[i]) < 0 && !find_type(protocol, value->list[i]) &&
		    (protocol != NETLINK_GENERIC || strlen(value->list[i]) >= GENL_NAMSIZ))
			return refuse_message_type(options, value->list[i]);
	if (!value->list_len || !options->format)
		return 0;
	SPLICED_ERROR(options, NETLINK_OPTION_WRITE,
		      "write needs unconverted messages, but format is \"%s\"; "
		      "remove one of them",
		      options->format);
	return -EINVAL;
}

/* Of rtnetlink's four types of an object, the third only asks. */
bool netlink_writes_changes(const struct spliced_options *options)
{
	const struct spliced_value *value = list_of(options);

	for (uint32_t i = 0; i < value->list_len; i++) {
		const struct type *type = find_type(options->row->protocol, value->list[i]);
		int number = type ? type->number : number_of(value->list[i]);

		if (options->row->protocol != NETLINK_ROUTE || number % 4 != RTM_GETLINK % 4)
			return true;
	}
	return false;
}

/* A family of generic netlink has a number for as long as its module is loaded. */
static bool is_family(const char *family, uint16_t number)
{
	_Alignas(struct nlmsghdr) char answer[8192] = {0};
	const struct nlmsghdr *message = (const struct nlmsghdr *)answer;
	const struct nlattr *at[CTRL_ATTR_MAX + 1];
	int n = netlink_ask_controller(family, strlen(family), answer, sizeof answer);

	if (n < 0 || !mnl_nlmsg_ok(message, n) || message->nlmsg_type != GENL_ID_CTRL)
		return false;
	netlink_parse(message, sizeof(struct genlmsghdr), at, CTRL_ATTR_MAX);
	return at[CTRL_ATTR_FAMILY_ID] &&
	       mnl_attr_get_payload_len(at[CTRL_ATTR_FAMILY_ID]) >= sizeof number &&
	       mnl_attr_get_u16(at[CTRL_ATTR_FAMILY_ID]) == number;
}

static bool is_allowed(const struct spliced_options *options, uint16_t number)
{
	const struct spliced_value *value = list_of(options);
	int protocol = options->row->protocol;

	for (uint32_t i = 0; i < value->list_len; i++) {
		const struct type *type = find_type(protocol, value->list[i]);

		if (type ? type->number == number : number_of(value->list[i]) == number)
			return true;
		if (!type && protocol == NETLINK_GENERIC && number_of(value->list[i]) < 0 &&
		    is_family(value->list[i], number))
			return true;
	}
	return false;
}

int netlink_may_send(const struct spliced_options *options, const void *data, size_t len)
{
	const char *at = data;

	if (!list_of(options)->list_len)
		return -EPERM;
	if (!data)
		return 0;
	if (len < NLMSG_HDRLEN)
		return -EBADMSG;
	for (size_t left = len, step; left; left -= step, at += step) {
		struct nlmsghdr message;

		if (left < NLMSG_HDRLEN)
			return -EBADMSG;
		memcpy(&message, at, sizeof message);
		if (message.nlmsg_len < NLMSG_HDRLEN || message.nlmsg_len > left)
			return -EBADMSG;
		if (!is_allowed(options, message.nlmsg_type))
			return -EPERM;
		step = MNL_ALIGN(message.nlmsg_len) < left ? MNL_ALIGN(message.nlmsg_len) : left;
	}
	return 0;
}
