/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The family netlink, netlink(7): what the kernel reports of links, addresses, routes, devices,
 * processes. A socket joins the configured groups (netlink_group.c). Sent to the kernel are only
 * dump requests of a format, and clients' messages whose types the operator lists
 * (netlink_write.c). Conversion to JSON is in netlink_json.c and the files that it calls. Protocol
 * usersock is between processes: a datagram socket like others.
 */
#include "netlink/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUFFER_BYTES = 4 << 20,
	CAP_NET_ADMIN_BIT = 12,
	CAP_NET_BROADCAST_BIT = 11,
	CAP_AUDIT_READ_BIT = 37
};

enum { ROWS = 25 };

#define ROW_USERSOCK (UINT64_C(1) << 1)
#define ROWS_OF_KERNEL (((UINT64_C(1) << ROWS) - 1) & ~ROW_USERSOCK)

static const char *const overruns[] = {"resync", "mark", "ignore", NULL};

/* clang-format off */
static const struct spliced_option options_[NETLINK_OPTIONS] = {
	[NETLINK_OPTION_GROUPS] = {.name = "groups", .type = SPLICED_LIST,
		.flags = SPLICED_REOPEN,
		.doc = "Multicast groups: for route link, addr, route, neigh, rule, nexthop, or a kernel name such as "
		       "ipv4-ifaddr; for generic FAMILY or FAMILY/GROUP; for netfilter also nflog/NUMBER; or numbers"},
	[NETLINK_OPTION_DUMP] = {.name = "dump", .type = SPLICED_BOOL,
		.flags = SPLICED_LIVE, .default_text = "false",
		.doc = "With format json: start with the current state and snapshot-end, then changes"},
	[NETLINK_OPTION_ON_OVERRUN] = {.name = "on_overrun", .type = SPLICED_WORD, .words = overruns,
		.flags = SPLICED_LIVE, .default_text = "resync",
		.doc = "With format json, when the kernel dropped messages: report lost and send a snapshot, only report lost, or neither"},
	[NETLINK_OPTION_PORTID] = {.name = "portid", .type = SPLICED_NUMBER, .max = UINT32_MAX,
		.flags = SPLICED_REOPEN, .default_text = "0",
		.doc = "Port number of the socket, 0: chosen by the kernel; for a target of usersock, the port to send to"},
	[NETLINK_OPTION_ALL_NSID] = {.name = "all_nsid", .type = SPLICED_BOOL,
		.flags = SPLICED_REOPEN, .default_text = "false",
		.doc = "Also receive events of network namespaces that have an id here"},
	[NETLINK_OPTION_WRITE] = {.name = "write", .type = SPLICED_LIST, .rows = ROWS_OF_KERNEL,
		.flags = SPLICED_LIVE,
		.doc = "Message types that may be sent to the kernel: for route names such as getlink; for generic a family; or "
		       "numbers; default: none"},
};
/* clang-format on */

#define ROW_WITH(number, word, more)                                                            \
	{                                                                                       \
		.type = SOCK_RAW, .protocol = (number), .name = (word), .pattern = "PROTOCOL",  \
		.capabilities =                                                                 \
			SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES | (more), \
		.max_message = 1 << 20, .link_type = NETLINK_LINK_TYPE,                         \
	}
#define ROW(number, word) ROW_WITH(number, word, SPLICED_RECEIVE_ONLY | SPLICED_FEED)

/* Those above 22 are unassigned, and used by modules. */
static const struct spliced_row rows[ROWS] = {
	ROW(NETLINK_ROUTE, "route"),
	ROW_WITH(NETLINK_USERSOCK, "usersock", SPLICED_CONNECTIONLESS),
	ROW(NETLINK_KOBJECT_UEVENT, "uevent"),
	ROW(NETLINK_GENERIC, "generic"),
	ROW(NETLINK_NETFILTER, "netfilter"),
	ROW(NETLINK_AUDIT, "audit"),
	ROW(NETLINK_CONNECTOR, "connector"),
	ROW(NETLINK_SOCK_DIAG, "sock_diag"),
	ROW(NETLINK_XFRM, "xfrm"),
	ROW(NETLINK_SELINUX, "selinux"),
	ROW(NETLINK_ISCSI, "iscsi"),
	ROW(NETLINK_FIB_LOOKUP, "fib_lookup"),
	ROW(NETLINK_SCSITRANSPORT, "scsitransport"),
	ROW(NETLINK_RDMA, "rdma"),
	ROW(NETLINK_CRYPTO, "crypto"),
	ROW(NETLINK_SMC, "smc"),
	ROW(23, "module23"),
	ROW(24, "module24"),
	ROW(25, "module25"),
	ROW(26, "module26"),
	ROW(27, "module27"),
	ROW(28, "module28"),
	ROW(29, "module29"),
	ROW(30, "module30"),
	ROW(31, "module31"),
};

static const struct spliced_format formats[] = {
	{
		.name = "json",
		.rows = ROWS_OF_KERNEL,
		.doc = "One object for each change, with the keys of ip(8)",
		.framing = SPLICED_FRAMING_LINE,
		.state_size = NETLINK_JSON_STATE,
		.preamble = netlink_json_preamble,
		.encode = netlink_json_encode,
		.event = netlink_json_event,
	},
	{
		.name = "pcap",
		.rows = ROWS_OF_KERNEL,
		.doc = "Capture for Wireshark; times in nanoseconds",
		.framing = SPLICED_FRAMING_NONE,
		.state_size = NETLINK_CAPTURE_STATE,
		.preamble = netlink_capture_preamble,
		.encode = netlink_capture_encode,
	},
};

/* ---- callbacks ---- */

static int netlink_address_of(const struct spliced_options *options,
			      struct sockaddr_storage *address, socklen_t *len)
{
	struct sockaddr_nl *nl = (struct sockaddr_nl *)address;
	uint32_t port = (uint32_t)spliced_value(options, NETLINK_OPTION_PORTID)->number;
	bool sends = options->role == SPLICED_CONNECT && options->row->protocol == NETLINK_USERSOCK;

	if (netlink_check_groups(options) < 0 || netlink_check_write(options) < 0)
		return -EINVAL;
	memset(address, 0, sizeof *address);
	nl->nl_family = AF_NETLINK;
	nl->nl_pid = port;
	*len = sizeof *nl;
	if (options->role == SPLICED_CONNECT && port && !sends) {
		SPLICED_ERROR(
			options, NETLINK_OPTION_PORTID,
			"a target of protocol %s is the kernel, whose port is 0; remove portid",
			options->row->name);
		return -EINVAL;
	}
	if (sends && (!port || spliced_value(options, NETLINK_OPTION_GROUPS)->list_len)) {
		SPLICED_ERROR(
			options, NETLINK_OPTION_PORTID,
			"a target of protocol usersock is one other process: set its portid, and no groups");
		return -EINVAL;
	}
	return 0;
}

static int netlink_describe(const struct spliced_row *row, const struct sockaddr *address,
			    socklen_t len, char *text, size_t size)
{
	const struct sockaddr_nl *nl = (const struct sockaddr_nl *)address;
	int n;

	if (len < sizeof *nl || nl->nl_family != AF_NETLINK)
		return -EAFNOSUPPORT;
	n = nl->nl_pid ? snprintf(text, size, "%s?portid=%u", row->name, nl->nl_pid)
		       : snprintf(text, size, "%s", row->name);
	return (size_t)n < size ? 0 : -ENOSPC;
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

/* bind(2) resets the first 32 groups: a socket that is bound joins them after it. */
static int netlink_bound(int fd, const struct spliced_options *options)
{
	return netlink_join(fd, options);
}

static int netlink_prepare(int fd, const struct spliced_options *options)
{
	int one = 1;

	/* Both are wishes: dumps as ip(8) asks for them, and errors without what they are about. */
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one);
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
	grow_buffer(fd);
	if (options->format)
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
	if (spliced_value(options, NETLINK_OPTION_ALL_NSID)->number &&
	    setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof one) < 0) {
		int r = -errno;

		SPLICED_ERROR(
			options, NETLINK_OPTION_ALL_NSID,
			"cannot receive from all namespaces: %s; this requires CAP_NET_BROADCAST",
			strerror(-r));
		return r;
	}
	return options->role == SPLICED_CONNECT && options->row->protocol != NETLINK_USERSOCK
		       ? netlink_join(fd, options)
		       : 0;
}

/* Any process may send to a port number: only messages from the kernel are accepted, except between
 * processes. There the address has the group a message was sent to beside its sender's port, and a
 * reply must not go to the whole group. */
static int netlink_received(const struct spliced_options *options, const struct msghdr *received,
			    struct spliced_message *message)
{
	struct sockaddr_nl *from = received->msg_name;

	netlink_read_control(received, message);
	if (received->msg_namelen < sizeof *from)
		return -EPERM;
	if (options->row->protocol == NETLINK_USERSOCK)
		from->nl_groups = 0;
	else if (from->nl_pid != 0)
		return -EPERM;
	return 0;
}

static uint64_t netlink_privileges(const struct spliced_options *options)
{
	uint64_t needs = spliced_value(options, NETLINK_OPTION_ALL_NSID)->number
				 ? UINT64_C(1) << CAP_NET_BROADCAST_BIT
				 : 0;

	if (netlink_writes_changes(options))
		needs |= UINT64_C(1) << CAP_NET_ADMIN_BIT;
	switch (options->row->protocol) {
	case NETLINK_ROUTE:
	case NETLINK_KOBJECT_UEVENT:
	case NETLINK_GENERIC:
		return needs;
	case NETLINK_USERSOCK: /* to send takes nothing */
		return options->role == SPLICED_LISTEN &&
				       spliced_value(options, NETLINK_OPTION_GROUPS)->list_len
			       ? needs | UINT64_C(1) << CAP_NET_ADMIN_BIT
			       : needs;
	case NETLINK_AUDIT:
		return needs | UINT64_C(1) << CAP_AUDIT_READ_BIT;
	}
	return needs | UINT64_C(1) << CAP_NET_ADMIN_BIT;
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "netlink",
	.domain = AF_NETLINK,
	.n_rows = ROWS,
	.n_options = NETLINK_OPTIONS,
	.rows = rows,
	.options = options_,
	.summary = "Kernel events: links, addresses, routes, devices, processes and more",
	.address = netlink_address_of,
	.describe = netlink_describe,
	.prepare = netlink_prepare,
	.bound = netlink_bound,
	.privileges = netlink_privileges,
	.n_formats = sizeof formats / sizeof *formats,
	.formats = formats,
	.received = netlink_received,
	.may_send = netlink_may_send,
	.release = netlink_release,
};
