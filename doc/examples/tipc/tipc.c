/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The family tipc, tipc(7): services of a cluster, addressed by type and instance wherever they run. It is built out of tree and needs
 * only the installed header, <spliced/plugin.h>; spliced-plugin(7) walks through it.
 */
#include <spliced/plugin.h>

#include <errno.h>
#include <linux/tipc.h>
#include <stdio.h>
#include <string.h>

/* Indices into options_, and into the values of each endpoint. */
enum { OPTION_SERVICE, OPTION_INSTANCE, OPTION_SCOPE, OPTIONS };

static const char *const scopes[] = {"node", "cluster", NULL};
static const int scope_numbers[] = {TIPC_NODE_SCOPE, TIPC_CLUSTER_SCOPE};

/* The options of an endpoint. From this table, the daemon parses them, checks type and range, and prints --describe. */
static const struct spliced_option options_[OPTIONS] = {
	[OPTION_SERVICE] = {.name = "service", .type = SPLICED_NUMBER, .min = TIPC_RESERVED_TYPES, .max = UINT32_MAX,
			    .flags = SPLICED_REQUIRED | SPLICED_REOPEN, .doc = "Service type"},
	[OPTION_INSTANCE] = {.name = "instance", .type = SPLICED_NUMBER, .min = 0, .max = UINT32_MAX,
			     .flags = SPLICED_REOPEN, .default_text = "0", .doc = "Instance of the service"},
	[OPTION_SCOPE] = {.name = "scope", .type = SPLICED_WORD, .words = scopes, .roles = SPLICED_LISTEN,
			  .flags = SPLICED_REOPEN, .default_text = "cluster", .doc = "Who sees the service: this node, or the cluster"},
};

#define MESSAGES (SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES)

/* The kinds of socket, with the guarantees of the kernel: only from these bits the daemon decides how traffic is forwarded. */
static const struct spliced_row rows[] = {
	{.type = SOCK_STREAM, .pattern = "SERVICE:INSTANCE",
	 .capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_RELIABLE |
			 SPLICED_SHORT_PEEK},
	{.type = SOCK_SEQPACKET, .pattern = "SERVICE:INSTANCE", .capabilities = MESSAGES | SPLICED_RELIABLE,
	 .max_message = TIPC_MAX_USER_MSG_SIZE},
	{.type = SOCK_RDM, .pattern = "SERVICE:INSTANCE", .capabilities = MESSAGES | SPLICED_RELIABLE | SPLICED_CONNECTIONLESS,
	 .max_message = TIPC_MAX_USER_MSG_SIZE},
	{.type = SOCK_DGRAM, .pattern = "SERVICE:INSTANCE", .capabilities = MESSAGES | SPLICED_CONNECTIONLESS,
	 .max_message = TIPC_MAX_USER_MSG_SIZE},
};

/* Options to a socket address: a name to bind to, or one to send to. */
static int tipc_address(const struct spliced_options *options, struct sockaddr_storage *address, socklen_t *len)
{
	struct sockaddr_tipc *tipc = (struct sockaddr_tipc *)address;
	unsigned type = (unsigned)spliced_value(options, OPTION_SERVICE)->number;
	unsigned instance = (unsigned)spliced_value(options, OPTION_INSTANCE)->number;

	memset(address, 0, sizeof *address);
	tipc->family = AF_TIPC;
	if (options->role == SPLICED_LISTEN) {
		tipc->addrtype = TIPC_SERVICE_RANGE;
		tipc->scope = (signed char)scope_numbers[spliced_value(options, OPTION_SCOPE)->number];
		tipc->addr.nameseq.type = type;
		tipc->addr.nameseq.lower = tipc->addr.nameseq.upper = instance;
	} else {
		tipc->addrtype = TIPC_SERVICE_ADDR;
		tipc->addr.name.name.type = type;
		tipc->addr.name.name.instance = instance;
	}
	*len = sizeof *tipc;
	return 0;
}

/* The reverse: a service in the form of its pattern, a client by its port and node. */
static int tipc_describe(const struct spliced_row *row, const struct sockaddr *address, socklen_t len, char *text, size_t size)
{
	const struct sockaddr_tipc *tipc = (const struct sockaddr_tipc *)address;
	int n;

	(void)row;
	if (len < sizeof *tipc || tipc->family != AF_TIPC)
		return -EAFNOSUPPORT;
	if (tipc->addrtype == TIPC_SOCKET_ADDR)
		n = snprintf(text, size, "port %u on node %08x", tipc->addr.id.ref, tipc->addr.id.node);
	else if (tipc->addrtype == TIPC_SERVICE_RANGE)
		n = snprintf(text, size, "%u:%u", tipc->addr.nameseq.type, tipc->addr.nameseq.lower);
	else
		n = snprintf(text, size, "%u:%u", tipc->addr.name.name.type, tipc->addr.name.name.instance);
	return (size_t)n < size ? 0 : -ENOSPC;
}

/* A datagram peer is a port of a node; the kernel's address contains more. */
static int tipc_peer_key(const struct spliced_options *options, const struct sockaddr *address, socklen_t len, void *key, size_t size)
{
	const struct sockaddr_tipc *tipc = (const struct sockaddr_tipc *)address;

	(void)options;
	if (len < sizeof *tipc || size < sizeof tipc->addr.id)
		return -ENOSPC;
	memcpy(key, &tipc->addr.id, sizeof tipc->addr.id);
	return sizeof tipc->addr.id;
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "tipc",
	.domain = AF_TIPC,
	.n_rows = sizeof rows / sizeof *rows,
	.n_options = OPTIONS,
	.rows = rows,
	.options = options_,
	.summary = "Services of a TIPC cluster",
	.address = tipc_address,
	.describe = tipc_describe,
	.peer_key = tipc_peer_key,
};
